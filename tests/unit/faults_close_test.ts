/** A process that is made to close a descriptor, in a system call and outside of one. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { buildFaults } from "../../src/build.ts";

/** Only root may stop any process. */
const ignore = Deno.uid() !== 0;

/** Holds a descriptor of standard input's file under another number until it is closed, sleeping or not. */
const HOLD = (wait: string) => `exec 9<"$0"; while [ -e /proc/$$/fd/9 ]; do ${wait}; done; echo closed`;

for (const [what, wait] of [["sleeps", "read -r _"], ["runs", ":"]]) {
  Deno.test({
    name: `a process that ${what} closes the descriptor that it is told to, and goes on`,
    ignore,
    async fn() {
      const close = `${await buildFaults()}/close`;
      const file = await Deno.makeTempFile();
      const child = new Deno.Command("dash", {
        args: ["-c", HOLD(wait), file],
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      try {
        await new Promise((resolve) => setTimeout(resolve, 200));
        const before = Date.now();
        const { code, stdout } = await new Deno.Command(close, { args: [`${child.pid}`, file] }).output();
        assertEquals(code, 0);
        const at = Number(new TextDecoder().decode(stdout));
        assert(at >= before && at <= Date.now(), `${at}`);
        await child.stdin.close();
        assertEquals(await new Response(child.stdout).text(), "closed\n");
        assertEquals((await child.status).code, 0);
      } finally {
        await Deno.remove(file);
      }
    },
  });
}

Deno.test({
  name: "a descriptor that a process has not is told of",
  ignore,
  async fn() {
    const { code, stderr } = await new Deno.Command(`${await buildFaults()}/close`, {
      args: [`${Deno.pid}`, "anon_inode:[none]"],
    }).output();
    assertEquals(code, 1);
    assertStringIncludes(
      new TextDecoder().decode(stderr),
      "close: anon_inode:[none]: No such file or directory",
    );
  },
});
