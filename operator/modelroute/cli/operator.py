"""`modelroute operator`: reconciles ModelRoutes. Run by the chart's Deployment, or by hand against a kubeconfig."""

import argparse

import uvloop

from modelroute.controller.app import Options
from modelroute.controller.app import run as run_operator
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
    parser.add_argument("--cluster-domain", default="cluster.local", metavar="DOMAIN", help="the cluster's DNS domain")
    parser.add_argument("--prometheus-url", default="", metavar="URL", help="where KEDA asks for routers' metrics")
    parser.add_argument("--network-policies", action="store_true", help="make NetworkPolicies for replicas and routers")
    parser.add_argument(
        "--operator-namespace", default="modelroute-system", metavar="NAME", help="where the operator itself runs"
    )
    parser.add_argument(
        "--monitoring-namespace", default="", metavar="NAME", help="whose pods may scrape replicas and routers"
    )


def run(args: argparse.Namespace) -> None:
    """Reconcile until told to end."""
    settings = Settings(
        router_image=args.router_image,
        image_pull_policy=args.image_pull_policy,
        cluster_domain=args.cluster_domain,
        prometheus_url=args.prometheus_url,
        network_policies=args.network_policies,
        operator_namespace=args.operator_namespace,
        monitoring_namespace=args.monitoring_namespace,
    )
    uvloop.run(run_operator(Options(tuple(args.namespace), settings, args.admin_port)))
