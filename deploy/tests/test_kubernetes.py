"""The manifests of deploy/kubernetes, rendered and held against Kubernetes' schemas,
the programs' settings, and each other."""

import re
import unittest

import kubernetes_validate
import manifests
import yaml
from manifests import KUBERNETES, REPOSITORY, SERVICES, containers, of_kind, rendered, templates
from network_policies import Pod, reaches

INSTALLATIONS = ["base", "overlays/demo", "overlays/production"]
# The oldest that has all fields that are used, and the newest with schemas.
KUBERNETES_VERSIONS = ["1.27.0", "1.37.0"]
# Definitions that are not Kubernetes' own.
WITHOUT_SCHEMA = {"ServiceMonitor"}


def each_installation(test):
    """Runs a test of rendered objects for every installation."""

    def all_of_them(self):
        for folder in INSTALLATIONS:
            with self.subTest(folder):
                test(self, rendered(folder))

    return all_of_them


class Manifests(unittest.TestCase):
    @each_installation
    def test_objects_match_the_schemas_of_kubernetes(self, objects):
        for version in KUBERNETES_VERSIONS:
            for part in objects:
                if part["kind"] not in WITHOUT_SCHEMA:
                    kubernetes_validate.validate(part, version, strict=True)

    def test_a_misspelt_field_does_not_match_the_schemas(self):
        part = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "dataa": {}}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(part, KUBERNETES_VERSIONS[-1], strict=True)

    @each_installation
    def test_every_object_but_the_namespace_is_in_one_namespace(self, objects):
        for part in objects:
            if part["kind"] != "Namespace":
                self.assertEqual(part["metadata"]["namespace"], "modash", part["metadata"])

    @each_installation
    def test_pods_run_without_rights(self, objects):
        for name, pod in templates(objects).items():
            spec = pod["spec"]
            self.assertTrue(spec["securityContext"]["runAsNonRoot"], name)
            self.assertGreater(spec["securityContext"]["runAsUser"], 0, name)
            self.assertEqual(spec["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"}, name)
            self.assertFalse(spec["enableServiceLinks"], name)
            if name != "tokens":
                self.assertFalse(spec["automountServiceAccountToken"], name)
            for container in containers(pod):
                security = container["securityContext"]
                self.assertTrue(security["readOnlyRootFilesystem"], container["name"])
                self.assertFalse(security["allowPrivilegeEscalation"], container["name"])
                self.assertEqual(security["capabilities"], {"drop": ["ALL"]}, container["name"])
                self.assertIn("memory", container["resources"]["limits"], container["name"])
                self.assertIn("cpu", container["resources"]["requests"], container["name"])

    @each_installation
    def test_settings_are_those_of_the_programs(self, objects):
        pods = templates(objects)
        for name, program in SERVICES.items():
            [container] = pods[name]["spec"]["containers"]
            for variable in manifests.environment(container, objects):
                known = manifests.is_setting(program, variable)
                self.assertTrue(known, f"{program} has no setting {variable}")

    @each_installation
    def test_selectors_ports_and_claims_find_what_they_name(self, objects):
        pods = templates(objects)
        labels = {name: pod["metadata"]["labels"] for name, pod in pods.items()}
        for name, service in of_kind(objects, "Service").items():
            wanted = service["spec"]["selector"].items()
            found = [pod for pod in pods if wanted <= labels[pod].items()]
            ports = {port["name"] for pod in found for c in containers(pods[pod]) for port in c.get("ports", [])}
            for port in service["spec"]["ports"]:
                self.assertIn(port["targetPort"], ports, name)
        for name, budget in of_kind(objects, "PodDisruptionBudget").items():
            self.assertEqual(budget["spec"]["selector"]["matchLabels"], {"app.kubernetes.io/name": name})
            self.assertIn(name, pods)
        for workload in of_kind(objects, "Deployment", "StatefulSet").values():
            wanted = workload["spec"]["selector"]["matchLabels"].items()
            self.assertLessEqual(wanted, workload["spec"]["template"]["metadata"]["labels"].items())
            spec = workload["spec"]["template"]["spec"]
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
            mounted = {mount["name"] for c in spec["containers"] for mount in c["volumeMounts"]}
            self.assertEqual(mounted, volumes)
            ports = {port["name"] for c in spec["containers"] for port in c["ports"]}
            for probe in ("livenessProbe", "readinessProbe"):
                request = spec["containers"][0].get(probe, {}).get("httpGet")
                if request:
                    self.assertIn(request["port"], ports)

    @each_installation
    def test_services_are_called_by_names_that_exist(self, objects):
        services = of_kind(objects, "Service")
        pods = templates(objects)
        urls = set()
        for name in SERVICES:
            [container] = pods[name]["spec"]["containers"]
            values = manifests.environment(container, objects).values()
            urls |= {found for value in values for found in re.findall(r"http://(\w+):(\d+)", value)}
        self.assertEqual(urls, {("analytics", "4007")})
        for host, port in urls:
            self.assertIn(int(port), [entry["port"] for entry in services[host]["spec"]["ports"]])

    @each_installation
    def test_a_stop_has_the_time_that_its_settings_take(self, objects):
        pods = templates(objects)
        for name in SERVICES:
            spec = pods[name]["spec"]
            [container] = spec["containers"]
            variables = manifests.environment(container, objects)
            grace = int(variables["MODASH_GRACE_PERIOD_SECONDS"])
            sleep = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
            before = int(sleep[1])
            self.assertGreater(spec["terminationGracePeriodSeconds"], grace + before, name)
            if name == "proxy":
                drain = int(variables["MODASH_PROXY_DRAIN_DELAY_SECONDS"])
                probe = container["readinessProbe"]
                noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
                self.assertGreater(drain, noticed)
                # Requests have 80 % of the grace period, the delay included.
                self.assertLess(drain, 0.2 * grace)

    @each_installation
    def test_images_are_those_of_this_version(self, objects):
        cargo = (REPOSITORY / "Cargo.toml").read_text()
        version = re.search(r'^\[workspace\.package\]\nversion = "(.+)"', cargo, re.MULTILINE)[1]
        built = (REPOSITORY / "deploy/images/build").read_text()
        for pod in templates(objects).values():
            for container in containers(pod):
                name, tag = container["image"].rsplit(":", 1)
                name = name.split("/")[-1]
                if name.startswith("modash"):
                    self.assertIn(f":{name}", built)
                    self.assertEqual(tag, version)

    @each_installation
    def test_the_token_step_may_do_its_work_and_nothing_else(self, objects):
        self.assertEqual(list(of_kind(objects, "Role")), ["tokens"])
        [rule] = of_kind(objects, "Role")["tokens"]["rules"]
        wanted = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["tokens"], "verbs": ["get", "patch"]}
        self.assertEqual(rule, wanted)
        binding = of_kind(objects, "RoleBinding")["tokens"]
        account = {"kind": "ServiceAccount", "name": "tokens", "namespace": "modash"}
        self.assertEqual(binding["subjects"], [account])
        self.assertEqual(templates(objects)["tokens"]["spec"]["serviceAccountName"], account["name"])
        # It is there before the Job, and applying it again takes no data away.
        self.assertNotIn("data", of_kind(objects, "Secret")["tokens"])

    def test_the_spool_fits_its_volume(self):
        proxy = of_kind(rendered("base"), "StatefulSet")["proxy"]
        [container] = proxy["spec"]["template"]["spec"]["containers"]
        variables = manifests.environment(container, rendered("base"))
        [claim] = proxy["spec"]["volumeClaimTemplates"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        self.assertEqual(mounts["spool"], variables["MODASH_PROXY_SPOOL_DIRECTORY"])
        size = claim["spec"]["resources"]["requests"]["storage"]
        self.assertEqual(size, "2Gi")
        # Two processes at a restart, each with 20 MiB a thread.
        journals = 2 * int(variables["MODASH_PROXY_THREADS"]) * 20 * 2**20
        self.assertLess(int(variables["MODASH_PROXY_SPOOL_BYTES"]) + journals, 2 * 2**30)

    def test_the_demo_has_the_database_that_analytics_waits_for(self):
        objects = rendered("overlays/demo")
        [container] = templates(objects)["analytics"]["spec"]["containers"]
        [url] = [v["valueFrom"]["secretKeyRef"] for v in container["env"] if v["name"] == "DATABASE_URL"]
        self.assertIn(url["key"], of_kind(objects, "Secret")[url["name"]]["data"])
        self.assertIn("postgres", of_kind(objects, "Service"))

    def test_the_autoscaler_asks_for_a_metric_that_exists_and_decides_alone(self):
        objects = rendered("overlays/production")
        autoscaler = of_kind(objects, "HorizontalPodAutoscaler")["proxy"]["spec"]
        target = autoscaler["scaleTargetRef"]
        scaled = of_kind(objects, target["kind"])[target["name"]]
        self.assertNotIn("replicas", scaled["spec"])
        self.assertEqual(scaled["apiVersion"], target["apiVersion"])
        [metric] = [entry["pods"]["metric"]["name"] for entry in autoscaler["metrics"]]
        self.assertIn(f"| `{metric}` | gauge |", (REPOSITORY / "docs/metrics.md").read_text())
        adapter = yaml.safe_load((KUBERNETES / "components/autoscaling/adapter.yaml").read_text())
        [rule] = adapter["rules"]["custom"]
        self.assertEqual(rule["name"]["matches"], metric)
        self.assertTrue(rule["seriesQuery"].startswith(metric))

    def test_prometheus_scrapes_each_admin_port_with_a_token(self):
        objects = rendered("overlays/production")
        monitor = of_kind(objects, "ServiceMonitor")["modash"]["spec"]
        service = of_kind(objects, "Service")["metrics"]
        labels = service["metadata"]["labels"]
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(), labels.items())
        self.assertEqual(labels[monitor["jobLabel"]], "modash")
        [endpoint] = monitor["endpoints"]
        self.assertIn(endpoint["port"], [port["name"] for port in service["spec"]["ports"]])
        self.assertEqual(endpoint["authorization"]["credentials"], {"name": "tokens", "key": "metrics.token"})
        for name in SERVICES:
            [container] = templates(objects)[name]["spec"]["containers"]
            self.assertIn("admin", [port["name"] for port in container["ports"]], name)


class NetworkPolicies(unittest.TestCase):
    def ways(self, folder):
        """Every way that is open, of all that matter."""
        objects = rendered(folder)
        policies = list(of_kind(objects, "NetworkPolicy").values())
        pods = [
            Pod("application", "team"),
            Pod("prometheus", "monitoring"),
            Pod("dns", "kube-system"),
            Pod("outside", None),
        ]
        for name, pod in templates(objects).items():
            ports = {p["name"]: p["containerPort"] for c in containers(pod) for p in c.get("ports", [])}
            pods.append(Pod(name, "modash", pod["metadata"]["labels"], ports))
        own = {pod.name for pod in pods if pod.namespace == "modash"}
        listening = {pod.name: list(pod.ports.values()) for pod in pods}
        listening |= {"dns": [53], "outside": [443, 5432, 6443, 8080], "application": [8000], "prometheus": [4318]}
        return {
            (source.name, target.name, port)
            for source in pods
            for target in pods
            if source is not target and (source.name in own or target.name in own)
            for port in listening[target.name]
            if reaches(policies, source, target, port)
        }

    def test_these_ways_are_open_and_no_others(self):
        base = {
            ("application", "proxy", 4005),
            ("application", "gateway", 4006),
            ("prometheus", "proxy", 4005),
            ("prometheus", "gateway", 4006),
            # Every namespace may use them; what runs in this one is no exception.
            ("dns", "proxy", 4005),
            ("dns", "gateway", 4006),
            ("proxy", "analytics", 4007),
            ("gateway", "analytics", 4007),
            # The proxy forwards wherever its upstreams are.
            ("proxy", "gateway", 4006),
            ("proxy", "application", 8000),
            ("proxy", "prometheus", 4318),
            ("proxy", "outside", 443),
            ("proxy", "outside", 5432),
            ("proxy", "outside", 6443),
            ("proxy", "outside", 8080),
            ("analytics", "outside", 5432),
            ("tokens", "outside", 443),
            ("tokens", "outside", 6443),
        }
        base |= {(name, "dns", 53) for name in ["proxy", "gateway", "analytics", "tokens"]}
        self.assertEqual(self.ways("base"), base)

        demo = {("analytics", "postgres", 5432), ("postgres", "dns", 53)}
        self.assertEqual(self.ways("overlays/demo"), base | demo)

        scraped = {("prometheus", "proxy", 4015), ("prometheus", "gateway", 4016), ("prometheus", "analytics", 4017)}
        exported = {("gateway", "prometheus", 4318), ("analytics", "prometheus", 4318)}
        told = {("analytics", "outside", 443)}
        self.assertEqual(self.ways("overlays/production"), base | scraped | exported | told)


if __name__ == "__main__":
    unittest.main()
