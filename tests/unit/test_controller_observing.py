"""What is made of what may not be seen."""

from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.kinds import POD
from modelroute.controller.observing import View
from modelroute.planning.observed import KubeObject, Observed


def test_o28_what_routers_know_the_addresses_of_stays_while_others_may_not_be_seen() -> None:
    """Routers keep the addresses that they have, so no pod behind them may be replaced or taken away."""
    lost = ApiError(Call("list", POD, "team-a"), 403, "no")
    there: KubeObject = {"kind": "Deployment", "metadata": {"namespace": "team-a", "name": "chat--small"}}
    view = View(Observed(children=(there,)), (lost,))
    assert (view.blind, view.hides(there)) == (True, True)
    assert not View(Observed(), (lost,)).hides(there), "a first one is made"
    assert not View(Observed(children=(there,))).hides(there)
