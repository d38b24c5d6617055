"""Kubernetes inside a sandbox, without privilege. `make test-kubernetes` runs it.

The cluster is what `k3s server` makes, of the programs that Kubernetes releases
(image/cluster). Nothing can be pulled inside, so the pods' images are archives
of busybox. The tests go through the life of one cluster, in their order.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daytona import (
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    Daytona,
    Image,
    Resources,
    Sandbox,
    SessionExecuteRequest,
)

from busybox import SERVE, archive

# The build context: a Dockerfile, and the programs beside it.
CONTEXT = Path(os.environ["KUBERNETES_IMAGE"])
PAUSE = 'trap "exit 0" TERM INT; while :; do sleep 1000000 & wait $!; done'

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: web
          image: cluster.local/web:1
          imagePullPolicy: Never
          ports: [{containerPort: 80}]
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
          resources: {limits: {cpu: 250m, memory: 64Mi}, requests: {cpu: 10m, memory: 16Mi}}
          volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {medium: Memory, sizeLimit: 8Mi}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
"""

# Every pod behind the service answers, each with its own name, and nobody else.
# The rules follow the pods within a second or two.
ALL_ANSWER = """
for i in $(seq 30); do
  pods=$(kubectl get pod -l app=web -o name | sed s,pod/,, | sort)
  answers=$(for j in $(seq 20); do curl -sS --max-time 2 $URL 2>&1; done | sort -u)
  [ $(echo "$pods" | wc -l) = 2 ] && [ "$answers" = "$pods" ] && exit
  sleep 0.5
done
echo "pods: $pods; answers: $answers"; exit 1
"""


class Cluster:
    """A sandbox with a cluster, and what was measured of it."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox = sandbox
        self.report: list[str] = []

    def run(self, command: str, timeout: int = 180) -> str:
        """Runs the command by bash and returns its output; it must succeed."""
        self.sandbox.fs.upload_file(f"set -o pipefail\n{command}".encode(), "/tmp/command")
        done = self.sandbox.process.exec("bash /tmp/command", timeout=timeout)
        assert done.exit_code == 0, f"{command}: exit code {done.exit_code}: {done.result}\n{self.logs()}"
        return done.result.strip()

    def logs(self) -> str:
        return self.sandbox.process.exec("tail -n 5 /var/log/cluster.log /var/log/kubernetes/*.log").result

    def start(self) -> None:
        """Starts the cluster as one starts `k3s server`, and waits for its node."""
        began = time.monotonic()
        self.sandbox.process.create_session("cluster")
        self.sandbox.process.execute_session_command(
            "cluster", SessionExecuteRequest(command="cluster 2>&1 | tee -a /var/log/cluster.log", run_async=True)
        )
        self.run(
            """
            for i in $(seq 600); do
              [ $i -lt 5 ] || pgrep -f 'bash.*/cluster$' >/dev/null || { echo "it has ended"; exit 1; }
              kubectl wait --for=condition=Ready node --all --timeout=120s 2>/dev/null && exit
              sleep 0.2
            done
            exit 1
            """
        )
        self.note("Node ready after the start of the cluster", began)

    def note(self, what: str, began: float) -> None:
        self.report.append(f"| {what} | {time.monotonic() - began:.1f} s |")

    def manifest(self, text: str) -> None:
        self.sandbox.fs.upload_file(text.encode(), "/tmp/manifest.yaml")
        self.run("kubectl apply -f /tmp/manifest.yaml")

    def pods(self) -> list[dict]:
        return json.loads(self.run("kubectl get pod -A -o json"))["items"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    daytona = Daytona()
    began = time.monotonic()
    snapshot = daytona.snapshot.create(
        CreateSnapshotParams(
            name="kubernetes",
            image=Image.from_dockerfile(str(CONTEXT / "Dockerfile")),
            resources=Resources(cpu=2, memory=4, disk=8),
        )
    )
    built = time.monotonic()
    c = Cluster(daytona.create(CreateSandboxFromSnapshotParams(snapshot="kubernetes"), timeout=120))
    c.report.append(f"| Snapshot built | {built - began:.1f} s |")
    for command, tag in [(PAUSE, "pause"), (SERVE, "web")]:
        c.sandbox.fs.upload_file(archive(command, f"cluster.local/{tag}:1"), f"/tmp/{tag}.tar")
    c.start()
    c.run("for i in pause web; do ctr -n k8s.io images import /tmp/$i.tar; done")
    yield c
    print("\n" + "\n".join(c.report))
    c.sandbox.delete()
    daytona.snapshot.delete(snapshot)


def test_the_kubelet_does_not_know_of_its_user_namespace(cluster: Cluster):
    """So that what is proved here holds for Kubernetes before 1.37 too, where nothing forgives."""
    flags = cluster.run("kubectl get --raw /api/v1/nodes/$(hostname)/proxy/configz")
    assert json.loads(flags)["kubeletconfig"]["featureGates"]["KubeletInUserNamespace"] is False


def test_the_machine_has_the_settings_that_the_kubelet_wants(cluster: Cluster):
    """The server was told to make them: `host-sysctls: kubernetes`."""
    values = cluster.run(
        "cd /proc/sys && cat vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops"
        " kernel/keys/root_maxkeys kernel/keys/root_maxbytes"
    )
    assert values.split() == ["1", "0", "10", "1", "1000000", "25000000"]


def test_a_deployment_runs(cluster: Cluster):
    began = time.monotonic()
    cluster.manifest(MANIFEST)
    cluster.run("kubectl rollout status deployment/web --timeout=120s")
    cluster.note("Deployment of 2 replicas available", began)
    pods = cluster.pods()
    assert [p["status"]["phase"] for p in pods] == ["Running"] * 2
    assert all(p["status"]["podIP"].startswith("10.42.0.") for p in pods)
    cluster.report.append(cluster.run("kubectl get node -o wide; kubectl get pod -A -o wide"))


def test_limits_bind(cluster: Cluster):
    memory = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert cluster.run(f"kubectl exec deploy/web -- sh -c '{memory}'") == str(64 << 20)
    scratch = cluster.run("kubectl exec deploy/web -- sh -c 'df -k /scratch | tail -n 1'").split()
    assert scratch[1] == "8192", scratch


def test_a_service_answers_on_its_cluster_address_and_node_port(cluster: Cluster):
    address = cluster.run("kubectl get service web -o jsonpath='{.spec.clusterIP}'")
    cluster.run(f"URL=http://{address}/; {ALL_ANSWER}")
    node = cluster.run("kubectl get node -o jsonpath='{.items[0].status.addresses[?(@.type==\"InternalIP\")].address}'")
    cluster.run(f"URL=http://{node}:30080/; {ALL_ANSWER}")
    # From a pod, to itself as well: over the bridge, and back.
    answers = cluster.run(
        "for pod in $(kubectl get pod -l app=web -o name); do"
        f" kubectl exec $pod -- sh -c 'for i in 1 2 3 4 5 6 7 8; do wget -q -O - http://{address}/ || exit; done'"
        " || exit; done"
    )
    assert len(answers.split()) == 16
    assert len(set(answers.split())) == 2


def test_a_pod_talks_to_the_api_as_its_service_account(cluster: Cluster):
    """By the API's own service; with kubectl mounted from the node."""
    cluster.manifest(
        """
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  restartPolicy: Never
  containers:
    - name: client
      image: cluster.local/web:1
      imagePullPolicy: Never
      command: [kubectl, auth, whoami, -o, "jsonpath={.status.userInfo.username}"]
      volumeMounts: [{name: kubectl, mountPath: /bin/kubectl}]
  volumes: [{name: kubectl, hostPath: {path: /usr/local/bin/kubernetes, type: File}}]
"""
    )
    cluster.run(
        "kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/client --timeout=30s"
        " || { kubectl logs client; exit 1; }"
    )
    assert cluster.run("kubectl logs client") == "system:serviceaccount:default:default"
    cluster.run("kubectl delete pod client")


def test_exec_and_logs(cluster: Cluster):
    pod = cluster.run("kubectl get pod -l app=web -o jsonpath='{.items[0].metadata.name}'")
    assert cluster.run(f"echo hello | kubectl exec -i {pod} -- cat") == "hello"
    assert cluster.run(f"kubectl exec {pod} -- hostname") == pod
    cluster.run(
        "kubectl run talker --image cluster.local/web:1 --image-pull-policy Never --restart Never --"
        " sh -c 'echo said; ls /proc/self/ns' && "
        "kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/talker --timeout=60s"
    )
    assert cluster.run("kubectl logs talker").split()[0] == "said"
    cluster.run("kubectl delete pod talker")


def test_a_volume_is_shared_in_both_directions(cluster: Cluster):
    """As storage drivers mount for other pods."""
    cluster.manifest(
        """
apiVersion: v1
kind: Pod
metadata: {name: driver}
spec:
  restartPolicy: Never
  containers:
    - name: driver
      image: cluster.local/web:1
      imagePullPolicy: Never
      securityContext: {privileged: true}
      command: [sh, -c, "mkdir -p /shared/late && mount -t tmpfs late /shared/late && touch /shared/late/file; sleep 9"]
      volumeMounts: [{name: shared, mountPath: /shared, mountPropagation: Bidirectional}]
  volumes: [{name: shared, hostPath: {path: /var/lib/kubelet/shared, type: DirectoryOrCreate}}]
"""
    )
    cluster.run(
        "for i in $(seq 100); do [ -e /var/lib/kubelet/shared/late/file ] && exit; sleep 0.2; done;"
        " kubectl describe pod driver | tail -n 5; exit 1"
    )
    cluster.run("umount /var/lib/kubelet/shared/late && kubectl delete pod driver --grace-period=0 --force 2>&1")


def test_a_rolling_restart_replaces_every_pod(cluster: Cluster):
    before = {p["metadata"]["uid"] for p in cluster.pods()}
    began = time.monotonic()
    cluster.run("kubectl rollout restart deployment/web && kubectl rollout status deployment/web --timeout=120s")
    cluster.note("Rolling restart", began)
    cluster.run("for i in $(seq 300); do [ $(kubectl get pod -o name | wc -l) = 2 ] && exit; sleep 0.2; done; exit 1")
    assert not before & {p["metadata"]["uid"] for p in cluster.pods()}
    address = cluster.run("kubectl get service web -o jsonpath='{.spec.clusterIP}'")
    cluster.run(f"URL=http://{address}/; {ALL_ANSWER}")


def test_a_deleted_pod_is_replaced(cluster: Cluster):
    pod = cluster.run("kubectl get pod -l app=web -o jsonpath='{.items[0].metadata.name}'")
    cluster.run(f"kubectl delete pod {pod} --timeout=60s && kubectl rollout status deployment/web --timeout=60s")
    assert pod not in cluster.run("kubectl get pod")


def test_a_pod_out_of_memory_is_killed_alone(cluster: Cluster):
    cluster.manifest(
        """
apiVersion: v1
kind: Pod
metadata: {name: bomb}
spec:
  restartPolicy: Never
  containers:
    - name: bomb
      image: cluster.local/web:1
      imagePullPolicy: Never
      command: [tail, -c, 200m, /dev/zero]
      resources: {limits: {memory: 32Mi}}
"""
    )
    cluster.run("kubectl wait --for=jsonpath='{.status.phase}'=Failed pod/bomb --timeout=60s")
    why = "{.status.containerStatuses[0].state.terminated.reason}"
    assert cluster.run(f"kubectl get pod bomb -o jsonpath='{why}'") == "OOMKilled"
    cluster.run("kubectl delete pod bomb && kubectl rollout status deployment/web --timeout=60s")


def test_thirty_pods(cluster: Cluster):
    began = time.monotonic()
    cluster.run("kubectl scale deployment/web --replicas 30 && kubectl rollout status deployment/web --timeout=170s")
    cluster.note("30 replicas available", began)
    count = "cat /sys/fs/cgroup/pids/pids.current 2>/dev/null || cat /sys/fs/cgroup/pids.current"
    memory = "cat /sys/fs/cgroup/memory/memory.usage_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.current"
    cluster.report.append(f"| Processes and threads with 30 pods | {cluster.run(count)} |")
    cluster.report.append(f"| Memory with 30 pods, caches too | {int(cluster.run(memory)) >> 20} MiB |")
    cluster.run("kubectl scale deployment/web --replicas 2")
    cluster.run("for i in $(seq 600); do [ $(kubectl get pod -o name | wc -l) = 2 ] && exit; sleep 0.2; done; exit 1")


def test_memory(cluster: Cluster):
    metrics = cluster.sandbox.process.exec(
        "for p in etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do"
        " ps -C $p -o rss= -o comm= | head -n 1; done"
    ).result
    rows = [line.split() for line in metrics.strip().splitlines()]
    assert len(rows) == 7, metrics
    cluster.report.append("| Resident memory | " + ", ".join(f"{c} {int(r) >> 10} MiB" for r, c in rows) + " |")


def test_the_cluster_comes_back_after_a_stop_and_a_start_of_the_sandbox(cluster: Cluster):
    began = time.monotonic()
    cluster.sandbox.stop(timeout=60)
    cluster.note("Stop of the sandbox", began)
    began = time.monotonic()
    cluster.sandbox.start(timeout=60)
    cluster.start()
    cluster.run(
        """
        for i in $(seq 600); do
          # What the API server remembers of the pods is from before.
          [ $(ctr -n k8s.io tasks ls | grep -c RUNNING) = 4 ] && break; sleep 0.2
        done
        kubectl rollout status deployment/web --timeout=120s
        """
    )
    cluster.note("From the start of the sandbox to the Deployment's return", began)
    address = cluster.run("kubectl get service web -o jsonpath='{.spec.clusterIP}'")
    cluster.run(f"for i in $(seq 60); do curl -fsS --max-time 2 http://{address}/ && exit; sleep 1; done; exit 1")


def test_everything_can_be_deleted(cluster: Cluster):
    cluster.run("kubectl delete deployment/web service/web --timeout=60s")
    cluster.run('for i in $(seq 300); do [ -z "$(kubectl get pod -A -o name)" ] && exit; sleep 0.2; done; exit 1')
    assert cluster.run("ctr -n k8s.io tasks ls -q 2>/dev/null") == ""
    assert "Unknown" not in cluster.run("kubectl get node")
