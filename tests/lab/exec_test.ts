// What commands in the lab can rely on. Each test boots a lab.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { boot, type Hardware, type Lab, nicNetwork, prepare, QemuCrash } from "../../src/lab/mod.ts";

const CLI = new URL("../../src/cli.ts", import.meta.url).pathname;
const progress = (message: string) => console.error(message);

async function start(hardware: Partial<Hardware> = {}): Promise<Lab> {
  await prepare(hardware.kernel ?? "6.1", { progress });
  return await boot(hardware, { progress });
}

/** Standard output of a command that must succeed. */
async function output(lab: Lab, script: string): Promise<string> {
  const { code, stdout, stderr } = await lab.exec(["sh", "-c", script]);
  assertEquals(code, 0, stderr);
  return stdout.trim();
}

/** Asks until it is so; the deadline is the test's. */
async function eventually(what: string, so: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 10_000;
  while (!await so()) {
    if (performance.now() > end) throw new Error(`After 10 s still waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What labs leave while they run: their directories and the processes that name them. */
async function leftovers(): Promise<Set<string>> {
  const found = new Set<string>();
  for await (const { name } of Deno.readDir("/tmp")) {
    if (name.startsWith("ring3-lab-")) found.add(`/tmp/${name}`);
  }
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (line.includes("/tmp/ring3-lab-")) found.add(`process ${name} ${line.replaceAll("\0", " ")}`);
  }
  return found;
}

Deno.test("commands: status, streams, arguments, environment", async (t) => {
  const others = await leftovers();
  await using lab = await start();

  await t.step("exit status and signals", async () => {
    for (const code of [0, 3, 255]) assertEquals((await lab.exec(["sh", "-c", `exit ${code}`])).code, code);
    assertEquals((await lab.exec(["no-such-command"])).code, 127);
    const { code, signal } = await lab.exec(["sh", "-c", "kill -KILL $$"]);
    assertEquals([code, signal], [137, "SIGKILL"]);
  });

  await t.step("packets are stamped all the time: no ping has the kernel patch itself", async () => {
    await eventually("the socket that asks for it", async () => {
      return (await lab.exec(["pgrep", "-x", "hold-timestamps"])).code === 0;
    });
    await output(lab, "ping -q -c 1 127.0.0.1; pkill -x ping || true");
    await output(lab, "pgrep -x hold-timestamps");
  });

  await t.step("standard output and error apart", async () => {
    const { stdout, stderr } = await lab.exec(["sh", "-c", "echo out; echo err >&2"]);
    assertEquals([stdout, stderr], ["out\n", "err\n"]);
  });

  await t.step("arguments unchanged", async () => {
    const argv = ["", "two words", "it's", '"$HOME" `id`', "new\nline", "*", "-n", "a=b", "\\", "~", "é"];
    const { stdout } = await lab.exec(["printf", "%s\\0", ...argv]);
    assertEquals(stdout.split("\0").slice(0, -1), argv);
  });

  await t.step("10 MB in and out", async () => {
    const bytes = new Uint8Array(10_000_000);
    for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    const sum = await lab.exec(["sha256sum"], { stdin: bytes });
    assertEquals(sum.stdout.slice(0, 64), digest);
    const child = lab.spawn(["cat"], { stdin: "piped" });
    const writer = child.stdin.getWriter();
    const writing = writer.write(bytes).then(() => writer.close());
    const { stdout } = await child.output();
    await writing;
    assertEquals(new Uint8Array(await crypto.subtle.digest("SHA-256", stdout)).toHex(), digest);
  });

  await t.step("environment, checkout and tools", async () => {
    assertEquals(await output(lab, "pwd; echo $HOME $LANG $RING3_LAB"), "/ring3\n/root C.UTF-8 1");
    assertEquals((await lab.exec(["touch", "/ring3/x"])).code, 1);
    assertEquals(
      await output(lab, `deno eval 'import { z } from "zod"; console.log(z.number().parse(7))'`),
      "7",
    );
    assertEquals(
      await output(
        lab,
        `setpriv --reuid 4711 --regid 4711 --clear-groups deno eval 'console.log(Deno.uid())'`,
      ),
      "4711",
    );
    assertEquals(
      await output(lab, "for f in proc sys dev/pts dev/shm run tmp; do mountpoint -q /$f; done; nproc"),
      "2",
    );
  });

  await t.step("the module loads and leaves", async () => {
    await output(lab, "insmod /ring3/build/module/$(uname -r)/ring3.ko && test -c /dev/ring3 && rmmod ring3");
    assertEquals(lab.kernelProblems(), []);
  });

  await t.step("a fault of QEMU's own is told as that", async () => {
    const own = [...await leftovers()].filter((one) => !others.has(one));
    const [, pid] = own.map((one) => /^process (\d+) qemu-system/.exec(one)).find((found) => found !== null)!;
    const sleeping = lab.exec(["sleep", "60"]);
    Deno.kill(Number(pid), "SIGSEGV");
    await assertRejects(() => sleeping, QemuCrash, "QEMU ended with SIGSEGV while it ran sleep");
  });
});

Deno.test("hardware: another card, disks, one processor, less memory, no IOMMU, kernel 6.12", async () => {
  await using lab = await start({
    nic: ["82540em", "e1000e"],
    disk: ["ide", "nvme"],
    iommu: false,
    smp: 1,
    memory: 1024,
    kernel: "6.12",
  });
  const ids = await output(lab, "lspci -n");
  for (const id of ["8086:100e", "8086:10d3", "8086:7111", "1b36:0010"]) {
    assert(ids.includes(id), `${id} in\n${ids}`);
  }
  assert((await output(lab, "uname -r")).startsWith("6.12."));
  assertEquals(await output(lab, "nproc; ls /sys/kernel/iommu_groups | wc -l"), "1\n0");
  const memory = Number(await output(lab, "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) /
    1024;
  assert(memory > 800 && memory < 1024, `${memory} MiB`);
  await output(lab, "modprobe -a nvme ata_piix sd_mod");
  await eventually("both disks", async () => {
    return (await lab.exec(["test", "-b", "/dev/nvme0n1", "-a", "-b", "/dev/sda"])).code === 0;
  });
  assertEquals(await output(lab, "cat /sys/block/nvme0n1/size /sys/block/sda/size"), "2097152\n2097152");
  assertEquals(lab.kernelProblems(), []);
});

Deno.test("the card under test: IOMMU, DHCP, a way in and out, unplugging", async (t) => {
  await using lab = await start();
  const card = "/sys/bus/pci/devices/0000:01:00.0";

  await t.step("it has an IOMMU group to itself, and no driver until one is loaded", async () => {
    assertEquals(
      await output(lab, `ls ${card}/iommu_group/devices; test -e ${card}/driver || echo free`),
      "0000:01:00.0\nfree",
    );
  });

  await t.step("traffic both ways", async () => {
    await output(
      lab,
      `modprobe e1000 && dev=$(ls ${card}/net) && ip link set $dev up && udhcpc -q -n -i $dev`,
    );
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response("outside"),
    );
    const url = `http://${nicNetwork(0).host}:${server.addr.port}/`;
    assertEquals(
      await output(lab, `deno eval 'console.log(await (await fetch("${url}")).text())'`),
      "outside",
    );

    const child = lab.spawn(["deno", "eval", "Deno.serve({ port: 8000 }, () => new Response('inside'))"], {
      stdout: "null",
      stderr: "null",
    });
    const port = await lab.forward(8000, { through: 0 });
    await eventually("the server inside", async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
      return await answer?.text() === "inside";
    });
    await lab.exec(["pkill", "deno"]);
    await child.status;
  });

  await t.step("datagrams", async () => {
    const port = await lab.forward(9000, { through: 0, protocol: "udp" });
    const inside = `import { createSocket } from "node:dgram";
      createSocket("udp4").on("message", (data) => {
        console.log(data.toString());
        Deno.exit();
      }).bind(9000);`;
    const child = lab.spawn(["deno", "eval", inside], { stderr: "null" });
    const { createSocket } = await import("node:dgram");
    const socket = createSocket("udp4");
    const sending = setInterval(() => socket.send("datagram", port, "127.0.0.1"), 200);
    const { code, stdout } = await child.output();
    clearInterval(sending);
    socket.close();
    assertEquals([code, new TextDecoder().decode(stdout)], [0, "datagram\n"]);
  });

  await t.step("unplugged, it is gone at once", async () => {
    await lab.qmp("device_del", { id: "nic0" });
    await eventually("the card to go", async () => (await lab.exec(["test", "-e", card])).code === 1);
    assertEquals(lab.kernelProblems(), []);
  });

  await t.step("QEMU's refusals are errors", async () => {
    await assertRejects(() => lab.qmp("device_del", { id: "nothing" }), Error, "nothing");
  });
});

Deno.test("a problem of the kernel is found, and a panic ends the command", async () => {
  await using lab = await start({ nic: [] });
  await lab.exec(["sh", "-c", "echo 'WARNING: only a test' > /dev/kmsg"]);
  assertEquals(lab.kernelProblems().length, 1);
  await assertRejects(
    () => lab.exec(["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 10"]),
    UserError,
    "Kernel panic",
  );
  await lab.close();
  assertEquals(lab.kernelProblems().length, 2);
});

Deno.test("the command line: status, streams and a kernel's problem", async () => {
  const lab = async (argv: string[], input = "") => {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", CLI, "lab", ...argv],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
    const { code, stdout, stderr } = await child.output();
    return [code, new TextDecoder().decode(stdout), new TextDecoder().decode(stderr)] as const;
  };
  assertEquals(await lab(["exec", "--nic", "none", "--", "sh", "-c", "cat; echo err >&2; exit 3"], "in"), [
    3,
    "in",
    "err\n",
  ]);
  const [code, , stderr] = await lab(["exec", "--", "sh", "-c", "echo 'BUG: only a test' > /dev/kmsg"]);
  assertEquals(code, 70);
  assert(stderr.includes("BUG: only a test"), stderr);
  assertEquals((await lab(["exec", "--nic", "no", "--", "true"]))[0], 2);
  assertEquals((await lab(["exec"]))[0], 2);
});

Deno.test("however the command line is killed, nothing of the lab stays", async () => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
    const before = await leftovers();
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", CLI, "lab", "exec", "--", "sh", "-c", "echo here; sleep 1000"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    assertEquals(new TextDecoder().decode((await reader.read()).value), "here\n");
    assert((await leftovers()).size > before.size);
    child.kill(signal);
    assert(!(await child.status).success);
    await eventually(`everything to go after ${signal}`, async () => (await leftovers()).isSubsetOf(before));
    await reader.cancel();
  }
});
