// A kernel that watches itself (KASAN, lockdep, kmemleak, DMA debugging, …), built from Debian's source with
// sanitizer.config beside this file.
import { UserError } from "../error.ts";
import type { Progress } from "../progress.ts";
import { need } from "../setup.ts";
import { cached, cacheKey } from "./cache.ts";
import { build, output, run } from "./command.ts";
import { PrivateApt } from "./debian.ts";
import { type Kernel, known } from "./known_kernel.ts";

/** The name that the `kernel` option takes for it. */
export const SANITIZER = "sanitizer";

const SOURCE = "linux-source-6.1";
const CONFIG = new URL("sanitizer.config", import.meta.url);

/** A change of the kernel's source. */
interface Edit {
  file: string;
  /** What stands there, once. */
  from: string;
  to: string;
}

/**
 * lockdep sees a circle at every boot (this lock, those of the IOMMU, that of the processors, this lock again in
 * virtio_net's probe), and sees nothing more once it has reported one. It is told to leave this lock out.
 */
const EDITS: readonly Edit[] = [{
  file: "kernel/irq/msi.c",
  from: "\tmutex_init(&md->mutex);\n",
  to: "\tmutex_init(&md->mutex);\n\tlockdep_set_novalidate_class(&md->mutex);\n",
}];

/** What it takes to build a module, as Debian's packages of headers have it. */
const HEADERS = [
  "Makefile",
  ".config",
  "Module.symvers",
  "include",
  "scripts",
  "arch/x86/Makefile",
  "arch/x86/include",
  "tools/objtool/objtool",
];

/** Nothing of the machine it is built on goes into it. */
const NEUTRAL = ["KBUILD_BUILD_USER=ring3", "KBUILD_BUILD_HOST=lab", "KBUILD_BUILD_TIMESTAMP=1970-01-01"];

/** Between two lines that say how far the build is. */
const REPORT_MS = 60_000;

/** How {@link sanitizerKernel} goes about it. */
export interface SanitizerOptions {
  /** Install without asking what it is built with. */
  yes?: boolean;
}

/**
 * The kernel of the lab's `--kernel sanitizer`. It is built if there is none of this configuration in the
 * cache, which takes some fifteen minutes on two processors, and then kept.
 * @throws {UserError} if something cannot be installed, fetched or built.
 */
export async function sanitizerKernel(
  progress: Progress,
  options: SanitizerOptions = {},
): Promise<Kernel> {
  const config = await Deno.readTextFile(CONFIG);
  const recipe = { config: settings(config), EDITS, HEADERS };
  // The first source fetched is kept, as with Debian's own kernels; another configuration is another kernel.
  return await known(`${SANITIZER}-${await cacheKey(recipe)}`, async () => {
    await need(["build", "kernel"], { progress, yes: options.yes });
    const apt = await PrivateApt.open("bookworm");
    const source = await apt.show(SOURCE);
    const thing = {
      kind: SANITIZER,
      key: await cacheKey({ ...recipe, source }),
      keep: 2,
      waiting: () => progress("waiting for another process that builds the sanitizer kernel"),
    };
    const root = await cached(thing, async (directory) => {
      progress(`fetching ${SOURCE} ${source.version} (140 MB)`);
      await apt.unpack([source], directory);
      const archive = `${directory}/usr/src/${SOURCE}.tar.xz`;
      await run(["tar", "--extract", "--directory", directory, "--file", archive], {
        what: "unpack the kernel's source",
      });
      await Deno.remove(`${directory}/usr`, { recursive: true });
      await buildKernel(`${directory}/${SOURCE}`, { into: directory, config, progress });
      await Deno.remove(`${directory}/${SOURCE}`, { recursive: true });
    });
    const release = await Deno.readTextFile(`${root}/release`);
    return {
      release,
      version: `${source.version} ${thing.key}`,
      image: `${root}/bzImage`,
      root,
      headers: `${root}/headers`,
    };
  });
}

/** Configures and builds the kernel in its source, and leaves in `into` what the lab needs of it. */
async function buildKernel(
  source: string,
  options: { into: string; config: string; progress: Progress },
): Promise<void> {
  const { into, config, progress } = options;
  const what = "build the sanitizer kernel";
  const make = ["make", `-j${navigator.hardwareConcurrency}`, ...NEUTRAL];

  for (const { file, from, to } of EDITS) {
    const path = `${source}/${file}`;
    const parts = (await Deno.readTextFile(path)).split(from);
    if (parts.length !== 2) {
      throw new UserError(
        `Cannot ${what}: ${file} of ${SOURCE} does not hold once what is to be changed in it`,
      );
    }
    await Deno.writeTextFile(path, parts.join(to));
  }
  const wanted = `${into}/sanitizer.config`;
  await Deno.writeTextFile(wanted, config);
  await run([...make, `KCONFIG_ALLCONFIG=${wanted}`, "allnoconfig"], {
    what: "configure the sanitizer kernel",
    cwd: source,
  });
  const refused = unmet(config, await Deno.readTextFile(`${source}/.config`));
  if (refused.length > 0) {
    throw new UserError(
      `Cannot ${what}: ${CONFIG.pathname} does not fit ${SOURCE}, which refuses ${refused.join(", ")}`,
    );
  }

  progress(`building the sanitizer kernel (about ${minutes()} minutes)`);
  await build(["nice", "-n", "10", ...make, "bzImage", "modules"], {
    what,
    cwd: source,
    log: `${into}.log`,
    line: reporter(progress),
  });
  const release = await output([...make, "--silent", "kernelrelease"], { what, cwd: source });
  await Deno.writeTextFile(`${into}/release`, release);
  await run([...make, `INSTALL_MOD_PATH=${into}`, "modules_install"], { what, cwd: source });
  await Deno.rename(`${source}/arch/x86/boot/bzImage`, `${into}/bzImage`);
  for (const path of HEADERS) {
    await Deno.mkdir(`${into}/headers/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.rename(`${source}/${path}`, `${into}/headers/${path}`);
  }
  // They name the source by a path that will be gone.
  const modules = `${into}/lib/modules/${release}`;
  for (const name of ["build", "source"]) await Deno.remove(`${modules}/${name}`);
  await Deno.symlink("../../../headers", `${modules}/build`);
}

/**
 * What a configuration asks for and does not get: its lines that a kernel's `.config` does not have, and
 * options that it wants off and that are on there. Options that do not exist are off.
 */
export function unmet(wanted: string, config: string): string[] {
  const got = new Set(config.split("\n"));
  const on = new Set([...got].flatMap((line) => /^(CONFIG_\w+)=/.exec(line)?.[1] ?? []));
  return settings(wanted).filter((line) => {
    const off = /^# (CONFIG_\w+) is not set$/.exec(line)?.[1];
    return off ? on.has(off) : !got.has(line);
  });
}

/** The lines of a configuration that say something to the kernel: other comments may change without a build. */
export function settings(config: string): string[] {
  return config.split("\n").filter((line) => /^(# )?CONFIG_/.test(line));
}

/** Says once a minute how far the build is, by the lines that make prints for each file. */
export function reporter(progress: Progress, now: () => number = () => performance.now()) {
  let said = now();
  let compiled = 0;
  return (line: string) => {
    const path = /^ {2}CC (?:\[M\])? *(\S+)/.exec(line)?.[1];
    if (!path?.includes("/")) return;
    compiled++;
    if (now() - said < REPORT_MS) return;
    said = now();
    progress(
      `building the sanitizer kernel: ${compiled} files compiled, now in ${path.replace(/\/[^/]*$/, "")}`,
    );
  };
}

/** Two processors take some fifteen minutes. */
function minutes(): number {
  return Math.max(2, Math.round(30 / navigator.hardwareConcurrency));
}
