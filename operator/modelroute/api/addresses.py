"""The rules of addresses that a manifest names: what a backend may not be.

Used by ``rules``, through which the CRD and ``parse`` reach them. Never looks a name up.
"""

import re

from modelroute.api.checks import rule

# One expression serves both forms. A host that resolvers take for an address in disguise (127.1, 0x7f000001,
# 0177.0.0.1) is refused with the open ones. What a name resolves to is looked at by the router when it connects.
FORBIDDEN_URL = (
    r"(?i)^https?://("
    r"(0|127|169[.]254|22[4-9]|2[3-5][0-9])[.][0-9.]*"
    r"|100[.]100[.]100[.]200|168[.]63[.]129[.]16|192[.]0[.]0[.]192"
    r"|[0-9]+([.][0-9]+){0,2}"
    r"|([0-9]+[.])*0[0-9x][0-9a-fx.]*"
    r"|([^/:]*[.])?(localhost|metadata[.]google[.]internal)"
    r"|metadata"
    r")[.]?(:|/|$)"
)
LOOPBACK_URL = r"(?i)^https?://(127[.][0-9]+[.][0-9]+[.][0-9]+|localhost)(:|/|$)"
CLUSTER_URL = r"(?i)^https?://[^/:]*[.]svc([.]cluster[.]local)?[.]?(:|/|$)"

EXTERNAL = (
    rule(
        f'self.baseURL.startsWith("https://") || self.baseURL.matches(r"{CLUSTER_URL}")',
        "plain http is only for Services of the cluster (a host that ends in .svc); write https://",
        lambda e: e.base_url.startswith("http://") and not re.search(CLUSTER_URL, e.base_url),
        ".baseURL",
    ),
    rule(
        f'!self.baseURL.matches(r"{FORBIDDEN_URL}")',
        "a backend may not be this machine or a metadata service; name the API's public host",
        lambda e: bool(re.search(FORBIDDEN_URL, e.base_url)),
        ".baseURL",
    ),
)

PROMETHEUS = rule(
    f'!has(self.serverAddress) || !self.serverAddress.matches(r"{FORBIDDEN_URL}")',
    "Prometheus may not be this machine or a metadata service; name its Service",
    lambda s: s.server_address is not None and bool(re.search(FORBIDDEN_URL, s.server_address)),
    ".serverAddress",
)
