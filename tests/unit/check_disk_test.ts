/** The check of a disk: a file stands for the disk, and programs are made up. */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { checkDisk, type DiskCheck, formatDiskCheck } from "../../src/check/disk.ts";
import { UserError } from "../../src/error.ts";

const BYTES = 2.5 * 2 ** 20;

/** A disk that is a file, whose counters say that it carried so many bytes with each flush of buffers. */
class Machine implements AsyncDisposable {
  readonly commands: string[] = [];
  /** Called before a program runs; gives its status. */
  onRun: (command: string) => Promise<number> | number = () => 0;
  carries = BYTES;
  #carried = 0;

  private constructor(readonly root: string) {}

  static async create(): Promise<Machine> {
    const machine = new Machine(await Deno.makeTempDir({ prefix: "ring3-check-test-" }));
    const { root } = machine;
    for (const folder of ["dev", "sys/block/r3b0", "tree/below"]) {
      await Deno.mkdir(`${root}/${folder}`, { recursive: true });
    }
    await Deno.writeFile(`${root}/dev/r3b0`, new Uint8Array(4 * 2 ** 20));
    await Deno.writeTextFile(`${root}/tree/one`, "one");
    await Deno.writeTextFile(`${root}/tree/below/two`, "two, below");
    await machine.#count();
    return machine;
  }

  async #count(): Promise<void> {
    const sectors = this.#carried / 512;
    const text = `1 0 ${sectors} 1 1 0 ${sectors} 1 0 1 1 0 0 0 0 0 0\n`;
    await Deno.writeTextFile(`${this.root}/sys/block/r3b0/stat`, text);
  }

  check(disk = "r3b0"): Promise<DiskCheck> {
    const { root } = this;
    return checkDisk({
      disk,
      bytes: BYTES,
      seed: 7,
      tree: `${root}/tree`,
      places: { dev: `${root}/dev`, sys: `${root}/sys` },
      run: async (command, args) => {
        const line = [command, ...args].join(" ").replaceAll(root, "").replace(
          /\/\S*ring3-check-\w+/,
          "MOUNT",
        );
        this.commands.push(line);
        // The folder that is mounted keeps what it holds, as the disk would.
        this.mount = args.find((argument) =>
          argument.includes("ring3-check-") && argument !== root &&
          !argument.startsWith(root)
        ) ?? this.mount;
        if (command === "blockdev") {
          this.#carried += this.carries;
          await this.#count();
        }
        return await this.onRun(line);
      },
    });
  }

  /** Where the file system is mounted. */
  mount = "";

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
    if (this.mount !== "") await Deno.remove(this.mount, { recursive: true }).catch(() => {});
  }
}

Deno.test("a disk that keeps what it is given passes, in these steps", async () => {
  await using machine = await Machine.create();
  const result = await machine.check();
  assertEquals(result.problems, []);
  assertEquals([result.ok, result.sound, result.written?.bytes, result.read?.bytes], [
    true,
    true,
    BYTES,
    BYTES,
  ]);
  assertEquals([result.tree?.files, result.tree?.bytes], [2, 13]);
  assertEquals(machine.commands, [
    "blockdev --flushbufs /dev/r3b0",
    "mkfs.ext4 -q -F /dev/r3b0",
    "mount -t ext4 /dev/r3b0 MOUNT",
    "umount MOUNT",
    "fsck.ext4 -f -n /dev/r3b0",
    "mount -t ext4 -o ro /dev/r3b0 MOUNT",
    "umount MOUNT",
  ]);
  const text = formatDiskCheck({ ...result, seconds: 1.25 });
  assertStringIncludes(text, "Check of r3b0: all of it held, in 1.3 s");
  assertMatch(text, /file system +2 files of 13 bytes copied and compared +ok$/m);
});

Deno.test("a byte that changes on the disk is found, and where", async () => {
  await using machine = await Machine.create();
  machine.onRun = async (command) => {
    if (!command.startsWith("blockdev")) return 0;
    using file = await Deno.open(`${machine.root}/dev/r3b0`, { read: true, write: true });
    const byte = new Uint8Array(1);
    await file.seek(1_234_567, Deno.SeekMode.Start);
    await file.read(byte);
    await file.seek(1_234_567, Deno.SeekMode.Start);
    await file.write(byte.map((one) => one ^ 1));
    return 0;
  };
  const result = await machine.check();
  assertEquals([result.ok, result.read], [false, null]);
  assertEquals(result.problems, ["read: byte 1,234,567 is not what was written"]);
  assertMatch(formatDiskCheck(result), /^ +read +not done +FAILED$/m);
});

Deno.test("a file system that is damaged, changed, or cannot be made is told", async () => {
  const problem = async (onRun: (machine: Machine, command: string) => Promise<number> | number) => {
    await using machine = await Machine.create();
    machine.onRun = (command) => onRun(machine, command);
    const { problems, ok } = await machine.check();
    assertEquals([ok, problems.length], [false, 1]);
    return problems[0].replaceAll(machine.root, "");
  };
  assertEquals(
    await problem((_, command) => command.startsWith("mkfs") ? 1 : 0),
    "file system: mkfs.ext4 -q -F /dev/r3b0 ended with status 1",
  );
  assertEquals(
    await problem((_, command) => command.startsWith("fsck") ? 4 : 0),
    "file system: fsck.ext4 finds it damaged",
  );
  assertEquals(
    await problem(async (machine, command) => {
      if (command.includes("-o ro")) {
        await Deno.writeTextFile(`${machine.mount}/tree/below/two`, "two, belom");
      }
      return 0;
    }),
    "file system: /tree/below/two came back changed",
  );
});

Deno.test("a check that went past the disk does not hold", async () => {
  await using machine = await Machine.create();
  machine.carries = BYTES / 2;
  const { problems } = await machine.check();
  assertEquals(problems, [
    "r3b0 did not carry this: it counted 1,310,720 bytes read and 1,310,720 written where the check had 2,621,440 each",
  ]);
  await assertRejects(() => machine.check("r3b1"), UserError, "There is no disk r3b1");
});
