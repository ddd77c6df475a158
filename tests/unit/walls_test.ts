/** The attempts on the walls as data, and what judges them. */
import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { buildWalls } from "../../src/build.ts";
import { startOutside } from "../../src/check/outside.ts";
import { lines } from "../../src/lines.ts";
import type { Account } from "../../src/walls/bystander.ts";
import { behindLanguage } from "../../src/walls/driver_attempts.ts";
import { ATTEMPTS } from "../../src/walls/lab.ts";
import { NATIVE_ATTEMPTS, type Setting } from "../../src/walls/native_attempts.ts";

const SETTING: Setting = {
  victim: { pid: 7, port: 8, key: 9, secret: "0x10" },
  mate: 11,
  other: { address: "0000:02:00.0", interface: "r3n0" },
  host: "10.4.0.2",
};

Deno.test("there are at least 40 attempts, each with a name of its own", () => {
  const names = ATTEMPTS.map(({ name }) => name);
  assert(names.length >= 40, `${names.length}`);
  assertEquals(names.length, new Set(names).size);
});

Deno.test("no attempt of native code is held by an outcome in which it got what it wanted", () => {
  for (const { name, stops, run } of NATIVE_ATTEMPTS) {
    // What these two do is no escape; what is left of it would be.
    if (["outlive", "pass-grant"].includes(String(run(SETTING)[0]))) continue;
    for (const { evidence } of stops) {
      assertNotMatch("done: ; grant ended: released", evidence, name);
      assertNotMatch("ended with status 99: attempt: sealing; grant ended: released", evidence, name);
      assertNotMatch("still running after 30 s; grant ended: released", evidence, name);
    }
  }
});

Deno.test("every attempt of native code is one of the program's", async () => {
  const program = `${await buildWalls()}/attempt`;
  const verbs = NATIVE_ATTEMPTS.map(({ run }) => String(run(SETTING)[0]));
  for (const verb of new Set([...verbs, "nonsense"])) {
    // Without a grant it goes no further than that.
    const { code, stderr } = await new Deno.Command(program, { args: [verb], stdin: "null" }).output();
    assertEquals(code, 99, verb);
    const said = new TextDecoder().decode(stderr);
    assertMatch(said, verb === "nonsense" ? /no attempt of that name/ : /receiving the grant/, verb);
  }
});

Deno.test("behind the language are the walls that native code meets", () => {
  assertEquals(behindLanguage({ what: "the network" }), ["seccomp", "namespaces"]);
  assertEquals(behindLanguage({ what: "files" }), ["seccomp", "namespaces", "landlock"]);
  assertEquals(behindLanguage({ what: "another thread" }), ["cgroup", "user"]);
});

/** Lets a bystander talk to an echo for a moment; what came of its datagrams. */
async function overhear(echo?: (datagram: Uint8Array) => Uint8Array): Promise<Account> {
  await using outside = await startOutside({ echo });
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "src/walls/bystander.ts", "127.0.0.1", `${outside.udp}`],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  const said = lines(child.stdout);
  const ask = async () => {
    await input.write(new TextEncoder().encode("\n"));
    return JSON.parse((await said.next()).value ?? "") as Account;
  };
  await ask();
  // It sends fifty a second.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const account = await ask();
  await input.close();
  await child.status;
  return account;
}

Deno.test("a bystander accounts for each of its datagrams", async () => {
  const { sent, answered, corrupt, lost } = await overhear();
  assert(sent > 5, `${sent}`);
  assertEquals({ answered, corrupt, lost }, { answered: sent, corrupt: 0, lost: 0 });
});

Deno.test("a bystander notices a datagram that comes back changed", async () => {
  const last = (datagram: Uint8Array) =>
    datagram.map((byte, at) => at === datagram.length - 1 && at > 8 ? ~byte : byte);
  const { sent, answered, corrupt, lost } = await overhear(last);
  assert(corrupt > 5, `${corrupt}`);
  assertEquals([answered + corrupt, lost], [sent, 0]);
});
