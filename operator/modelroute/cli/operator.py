"""`modelroute operator`: reconciles ModelRoutes. Run by the chart's Deployment, or by hand against a kubeconfig."""

import argparse
import os

import uvloop

from modelroute.controller.app import Options
from modelroute.controller.app import run as run_operator
from modelroute.controller.leading import LEASE_NAME, LeaseOptions
from modelroute.controller.watching.watches import SILENCE_SECONDS
from modelroute.controller.webhooks import hooks
from modelroute.errors import ModelRouteError
from modelroute.planning.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("--router-image", required=True, metavar="IMAGE", help="the image that router pods run")
    policies = ("IfNotPresent", "Always", "Never")
    parser.add_argument("--image-pull-policy", default="IfNotPresent", choices=policies, help="of router pods")
    parser.add_argument(
        "--namespace", action="append", default=[], metavar="NAME", help="watch this namespace alone; may be repeated"
    )
    parser.add_argument("--admin-port", type=int, default=8080, metavar="PORT", help="where /healthz answers")
    parser.add_argument(
        "--webhook-port", type=int, default=0, metavar="PORT", help="where admission webhooks answer (default 0: none)"
    )
    parser.add_argument(
        "--operator-namespace",
        default=os.environ.get("POD_NAMESPACE") or "modelroute-system",
        metavar="NAME",
        help="where the operator itself runs",
    )
    parser.add_argument("--cluster-domain", default="cluster.local", metavar="DOMAIN", help="the cluster's DNS domain")
    parser.add_argument("--prometheus-url", default="", metavar="URL", help="where KEDA asks for routers' metrics")
    parser.add_argument("--network-policies", action="store_true", help="make NetworkPolicies for replicas and routers")
    parser.add_argument(
        "--monitoring-namespace", default="", metavar="NAME", help="whose pods may scrape replicas and routers"
    )
    parser.add_argument(
        "--lease-namespace",
        default=os.environ.get("POD_NAMESPACE") or "default",
        metavar="NAME",
        help=f"where the Lease {LEASE_NAME} is; of all operators with the same one, one acts "
        "(default: POD_NAMESPACE, else default)",
    )
    parser.add_argument(
        "--lease-duration",
        type=int,
        default=10,
        metavar="SECONDS",
        help="how long after the leader's last sign of life another one takes over",
    )
    parser.add_argument(
        "--watch-silence",
        type=float,
        default=SILENCE_SECONDS,
        metavar="SECONDS",
        help="begin a watch anew that brought nothing for so long; more than 60, since bookmarks come that often",
    )


def options(args: argparse.Namespace) -> Options:
    """What the flags ask for."""
    settings = Settings(
        router_image=args.router_image,
        image_pull_policy=args.image_pull_policy,
        cluster_domain=args.cluster_domain,
        prometheus_url=args.prometheus_url,
        injection=bool(args.webhook_port),
        network_policies=args.network_policies,
        operator_namespace=args.operator_namespace,
        monitoring_namespace=args.monitoring_namespace,
    )
    if args.lease_duration < 2:
        raise ModelRouteError(f"--lease-duration is {args.lease_duration}; it must be 2 seconds or more")
    if args.watch_silence <= 0:
        raise ModelRouteError(f"--watch-silence is {args.watch_silence:g}; it must be more than 0 seconds")
    return Options(
        namespaces=tuple(args.namespace),
        settings=settings,
        admin_port=args.admin_port,
        lease=LeaseOptions(args.lease_namespace, args.lease_duration),
        watch_silence=args.watch_silence,
        webhooks=hooks.Options(args.webhook_port, args.operator_namespace) if args.webhook_port else None,
    )


def run(args: argparse.Namespace) -> None:
    """Reconcile until told to end."""
    uvloop.run(run_operator(options(args)))
