"""Who reaches whom by the NetworkPolicies of an installation, as Kubernetes reads them."""


def selects(selector, labels):
    """Whether a label selector matches."""
    operators = {
        "In": lambda value, values: value in values,
        "NotIn": lambda value, values: value not in values,
    }
    expressions = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        operators[e["operator"]](labels.get(e["key"]), e["values"]) for e in expressions
    )


class Pod:
    """A pod; without a namespace, a machine outside of the cluster."""

    def __init__(self, name, namespace, labels=None, ports=None):
        self.name, self.namespace = name, namespace
        self.labels, self.ports = labels or {}, ports or {}

    def is_peer(self, peer, own_namespace):
        if "ipBlock" in peer:
            return self.namespace is None
        if self.namespace is None:
            return False
        if "namespaceSelector" in peer:
            labels = {"kubernetes.io/metadata.name": self.namespace}
            if not selects(peer["namespaceSelector"], labels):
                return False
        elif self.namespace != own_namespace:
            return False
        return selects(peer.get("podSelector", {}), self.labels)


def _allows(policies, pod, direction, other, port, names):
    """Whether the policies of a pod let it talk to, or be reached from, another."""
    kind, peers = {"out": ("Egress", "to"), "in": ("Ingress", "from")}[direction]
    own = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == pod.namespace
        and kind in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not own:
        return True
    rules = [rule for policy in own for rule in policy["spec"].get(kind.lower(), [])]

    def matches(rule):
        ports = [entry["port"] for entry in rule.get("ports", [])]
        numbers = [names.get(entry, entry) for entry in ports]
        listed = rule.get(peers, [])
        return (not ports or port in numbers) and (
            not listed or any(other.is_peer(peer, pod.namespace) for peer in listed)
        )

    return any(matches(rule) for rule in rules)


def reaches(policies, source, target, port):
    """Whether both sides let a connection through."""
    return _allows(policies, source, "out", target, port, target.ports) and _allows(
        policies, target, "in", source, port, target.ports
    )
