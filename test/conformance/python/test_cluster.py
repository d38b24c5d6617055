"""What Kubernetes needs of a sandbox as its machine, each thing by itself.

`make test-kubernetes` proves a whole cluster; this is quick and always run.
"""

from collections.abc import Iterator

import pytest
from daytona import CreateSandboxFromSnapshotParams, CreateSnapshotParams, Daytona, Resources, Sandbox


@pytest.fixture(scope="module")
def node(daytona: Daytona) -> Iterator[Sandbox]:
    snapshot = daytona.snapshot.create(
        CreateSnapshotParams(
            name="cluster-node",
            image="fixtures/docker:26",
            entrypoint=["sleep", "infinity"],
            resources=Resources(cpu=1, memory=1, disk=3),
        )
    )
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(snapshot="cluster-node"), timeout=120)
    yield sandbox
    sandbox.delete()
    daytona.snapshot.delete(snapshot)


def run(sandbox: Sandbox, script: str) -> str:
    sandbox.fs.upload_file(f"set -euo pipefail\n{script}".encode(), "/tmp/script")
    done = sandbox.process.exec("bash /tmp/script", timeout=60)
    assert done.exit_code == 0, f"{script}: exit code {done.exit_code}: {done.result}"
    return done.result.strip()


def test_pods_networks_can_be_made(node: Sandbox):
    run(
        node,
        """
        ip netns add pod
        ip link add cni0 type bridge && ip addr add 10.42.0.1/24 dev cni0 && ip link set cni0 up
        ip link add veth0 type veth peer name eth0 netns pod && ip link set veth0 master cni0 up
        ip -n pod addr add 10.42.0.2/24 dev eth0 && ip -n pod link set eth0 up
        ip link add flannel.1 type vxlan id 1 dev eth0 dstport 8472 nolearning && ip link set flannel.1 up
        echo 1 >/proc/sys/net/ipv4/ip_forward
        (timeout 5 bash -c 'echo >/dev/tcp/10.42.0.2/9' 2>&1 || true) | grep refused
        """,
    )


@pytest.mark.parametrize("iptables", ["iptables-nft", "iptables-legacy"])
def test_the_rules_of_kube_proxy_can_be_set(node: Sandbox, iptables: str):
    run(
        node,
        f"""
        {iptables} -t nat -N KUBE-SVC-{iptables[9:]}
        {iptables} -t nat -A PREROUTING -m comment --comment services -j KUBE-SVC-{iptables[9:]}
        {iptables} -t nat -A KUBE-SVC-{iptables[9:]} -p tcp -d 10.43.0.1 -m statistic --mode random --probability 0.5 \\
          -j DNAT --to-destination 10.42.0.2:6443
        {iptables} -t nat -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE --random-fully
        {iptables} -A FORWARD -m conntrack --ctstate INVALID -j DROP
        {iptables} -A FORWARD -m addrtype --dst-type LOCAL -m physdev ! --physdev-is-in -j ACCEPT
        """,
    )


def test_the_connections_are_tracked_within_limits_of_its_own(node: Sandbox):
    run(node, "echo 86400 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established")
    assert int(run(node, "cat /proc/sys/net/netfilter/nf_conntrack_max")) > 0


def test_mounts_reach_the_pods(node: Sandbox):
    """What a kubelet mounts must be seen by containers that share its folder, and the other way round."""
    seen = run(
        node,
        """
        d=/var/lib/kubelet/pods/one
        findmnt -n -o PROPAGATION /
        findmnt -n -o PROPAGATION /var/lib/kubelet
        mkdir -p $d && mount -t tmpfs pod $d
        mkdir $d/late
        unshare -m --propagation shared bash -c "mount -t tmpfs late $d/late && touch $d/late/file"
        ls $d/late
        umount -R $d
        """,
    )
    assert seen.split() == ["shared", "shared", "file"]


def test_the_kernels_log_is_there_and_empty(node: Sandbox):
    assert run(node, "test -r /dev/kmsg && timeout 5 cat /dev/kmsg") == ""


def test_pods_get_control_groups_with_limits(node: Sandbox):
    run(
        node,
        """
        cd /sys/fs/cgroup
        if [ -e cgroup.controllers ]; then
          mkdir init && for p in $(cat cgroup.procs); do echo $p >init/cgroup.procs || true; done
          echo +cpu +memory +pids >cgroup.subtree_control
          mkdir kubepods && cd kubepods && echo 64M >memory.max && echo 50000 100000 >cpu.max && echo 100 >pids.max
          echo $$ >cgroup.procs
        else
          for c in cpu cpuset memory pids freezer devices blkio systemd; do mkdir $c/kubepods; done
          echo 64M >memory/kubepods/memory.limit_in_bytes && echo 50000 >cpu/kubepods/cpu.cfs_quota_us
          echo 100 >pids/kubepods/pids.max
          echo $$ >memory/kubepods/cgroup.procs
        fi
        """,
    )


def test_modules_are_not_loaded_and_that_does_no_harm(node: Sandbox):
    tried = run(node, "modprobe br_netfilter 2>&1 || true; test -d /proc/sys/net && echo fine")
    assert tried.endswith("fine")
