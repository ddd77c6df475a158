/** What the kernel asks of the card reaches it: sizes, addresses, groups, promiscuity, offloads, up and down. */
import { assert, assertEquals } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { sh } from "../../src/soak/lab.ts";
import { layWire, OURS, PEER } from "../../src/soak/wire.ts";
import { ready } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

/** Runs a shell line on the other end of the wire. */
function peer(lab: Lab, line: string): Promise<string> {
  return sh(lab, `ip netns exec peer dash -ec '${line}'`);
}

async function received(lab: Lab): Promise<number> {
  return Number(await sh(lab, "cat /sys/class/net/r3n0/statistics/rx_packets"));
}

/**
 * Frames that the peer sends in vain: how many of them the interface counts. The card is emulated to be
 * deaf for a second after its filters change, and the peer's may be without a link for two after its MTU
 * has changed, so both are waited for first.
 */
async function heard(lab: Lab, line: string): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await sh(lab, `ping -q -c 1 -w 10 ${PEER}`);
  const before = await received(lab);
  await sh(lab, `ip netns exec peer ${line} > /dev/null || true`);
  return await received(lab) - before;
}

Deno.test("the card does what the kernel asks of the interface", async (t) => {
  await using lab = await boot({ nic: ["e1000", "e1000"], oneWire: true }, { progress: silent });
  const run = await ready(lab, ["e1000", "--device", "0000:01:00.0"]);
  await using _ = run;
  await layWire(lab);
  await peer(lab, "ip link set lo up");

  await t.step("frames of up to 9,000 bytes, in several buffers", async () => {
    await sh(lab, "ip link set r3n0 mtu 9000");
    await peer(lab, "ip link set eth1 mtu 9000");
    await sh(lab, `ping -c 1 -w 10 ${PEER}`);
    for (const size of [1472, 1473, 4000, 4054, 4055, 4096, 8150, 8192, 8972]) {
      await sh(lab, `ping -q -M do -i 0.01 -c 20 -w 10 -s ${size} ${PEER}`);
    }
    const stats = await sh(lab, "cat /sys/class/net/r3n0/statistics/rx_errors");
    assertEquals(stats.trim(), "0");
    await sh(lab, "ip link set r3n0 mtu 1500");
    await peer(lab, "ip link set eth1 mtu 1500");
  });

  await t.step("an MTU above what the driver offers is refused", async () => {
    assert((await lab.exec(["ip", "link", "set", "r3n0", "mtu", "9001"])).code !== 0);
  });

  await t.step("multicast: groups that were joined, and no others", async () => {
    await sh(lab, "echo 0 > /proc/sys/net/ipv4/icmp_echo_ignore_broadcasts");
    await sh(lab, "ip address add 239.1.2.3/32 dev r3n0 autojoin");
    assert(await heard(lab, "ping -c 5 -i 0.05 -W 1 -I eth1 239.1.2.3") >= 5);
    assert(await heard(lab, "ping -c 20 -i 0.05 -W 1 -I eth1 239.7.7.7") < 10);
  });

  await t.step("promiscuous: frames for others, only while it is on", async () => {
    await peer(lab, "ip neighbour replace 10.9.0.99 lladdr 02:00:00:00:00:99 dev eth1");
    const line = "ping -c 20 -i 0.05 -W 1 10.9.0.99";
    assert(await heard(lab, line) < 10);
    await sh(lab, "ip link set r3n0 promisc on");
    assert(await heard(lab, line) >= 20);
    await sh(lab, "ip link set r3n0 promisc off");
    assert(await heard(lab, line) < 10);
  });

  await t.step("another address", async () => {
    await sh(lab, "ip link set r3n0 address 02:11:22:33:44:55");
    await peer(lab, `ip neighbour flush dev eth1`);
    await sh(lab, `ping -c 3 -i 0.1 -w 10 ${PEER}`);
    const { stdout } = await lab.exec(["ip", "netns", "exec", "peer", "ip", "neighbour", "show", OURS]);
    assert(stdout.includes("02:11:22:33:44:55"), stdout);
  });

  await t.step("offloads off and on", async () => {
    for (const state of ["off", "on"]) {
      await sh(lab, `ethtool -K r3n0 tx ${state} tso ${state}`);
      await sh(lab, `ping -c 3 -i 0.1 -w 10 ${PEER}`);
    }
  });

  await t.step("down and up again", async () => {
    for (let i = 0; i < 3; i++) await sh(lab, "ip link set r3n0 down; ip link set r3n0 up");
    await sh(lab, `ping -c 3 -i 0.1 -w 10 ${PEER}`);
  });

  await t.step("what was configured is replayed to the next driver", async () => {
    await sh(lab, "ip link set r3n0 mtu 9000");
    await peer(lab, "ip link set eth1 mtu 9000");
    const after = run.lastId;
    await sh(lab, `kill -KILL ${run.last("starting")!.pid}`);
    await run.next("ready", { after });
    await sh(lab, `ping -q -M do -c 3 -i 0.1 -w 10 -s 8972 ${PEER}`);
    assertEquals((await sh(lab, "cat /sys/class/net/r3n0/address")).trim(), "02:11:22:33:44:55");
  });

  await t.step("link down and up", async () => {
    await lab.qmp("set_link", { name: "net0", up: false });
    await sh(
      lab,
      "for i in $(seq 50); do test $(cat /sys/class/net/r3n0/carrier) = 0 && exit; sleep 0.1; done; false",
    );
    await lab.qmp("set_link", { name: "net0", up: true });
    await sh(
      lab,
      "for i in $(seq 50); do test $(cat /sys/class/net/r3n0/carrier) = 1 && exit; sleep 0.1; done; false",
    );
    await sh(lab, `ping -c 3 -i 0.1 -w 10 ${PEER}`);
  });

  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
