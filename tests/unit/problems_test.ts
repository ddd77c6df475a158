/** Reports of a kernel that watches itself, shortened: each is one problem, from its first words to its end. */
import { assertEquals } from "@std/assert";
import { kernelProblems } from "../../src/lab/problems.ts";

/** A log of these lines, each at a time of its own, between others that are no problem. */
function log(text: string): string {
  const lines = ["random: crng init done", ...text.trim().split("\n"), "e1000: link is up"];
  return lines.map((line, at) => `[   ${(10 + at / 1000).toFixed(6)}] ${line}`).join("\r\n");
}

/** The problems of such a log, without their times. */
function problems(text: string): string[] {
  return kernelProblems(log(text)).map((problem) => problem.replace(/^\[ *\d+\.\d+\] /gm, ""));
}

const TRACE = `Call Trace:
 <TASK>
 dump_stack_lvl+0x5b/0x85
 do_one_initcall+0xa5/0x3b0
 </TASK>`;

const WARNED = `CPU: 0 PID: 181 Comm: insmod Tainted: G           O       6.1.192-sanitizer #1
Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-debian-1.16.2-1 04/01/2014
RIP: 0010:report+0x11/0x20
${TRACE}`;

Deno.test("KASAN: with where it was allocated and freed, to the closing rule", () => {
  const report = `BUG: KASAN: use-after-free in bad_init+0x1f3/0x1000 [bad]
Write of size 1 at addr ffff88800a1b2c04 by task insmod/181

CPU: 0 PID: 181 Comm: insmod Tainted: G           O       6.1.192-sanitizer #1
${TRACE}

Allocated by task 181:
 kasan_save_stack+0x1e/0x40
 __kasan_kmalloc+0x7f/0x90

Freed by task 181:
 kasan_save_stack+0x1e/0x40
 __kmem_cache_free+0x87/0x120

The buggy address belongs to the object at ffff88800a1b2c00
 which belongs to the cache kmalloc-64 of size 64
page dumped because: kasan: bad access detected

Memory state around the buggy address:
>ffff88800a1b2c00: fa fb fb fb fb fb fb fb fc fc fc fc fc fc fc fc
                   ^
==================================================================`;
  const rule = "==================================================================";
  assertEquals(problems(`${rule}\n${report}\nDisabling lock debugging due to kernel taint`), [report]);
  assertEquals(problems(`${rule}\n${report}\n${rule}\n${report}`), [report, report]);
});

Deno.test("UBSAN: to the closing rule", () => {
  const rule = "================================================================================";
  const report = `UBSAN: shift-out-of-bounds in /tmp/bad.c:37:44
shift exponent 64 is too large for 32-bit type 'int'
CPU: 1 PID: 190 Comm: insmod Tainted: G    B      O       6.1.192-sanitizer #1
${TRACE}
${rule}`;
  assertEquals(problems(`${rule}\n${report}`), [report]);
});

Deno.test("lockdep: all the locks of a circle, however long", () => {
  const chain = Array.from({ length: 90 }, (_, n) => `       __mutex_lock+0x${n}/0x980`).join("\n");
  const report = `WARNING: possible circular locking dependency detected
6.1.192-sanitizer #1 Tainted: G           O
------------------------------------------------------
insmod/181 is trying to acquire lock:
ffffffffc0003540 (a){+.+.}-{3:3}, at: bad_init+0x2a1/0x1000 [bad]

but task is already holding lock:
ffffffffc0003480 (b){+.+.}-{3:3}, at: bad_init+0x295/0x1000 [bad]

which lock already depends on the new lock.

the existing dependency chain (in reverse order) is:

-> #1 (b){+.+.}-{3:3}:
${chain}

 *** DEADLOCK ***

stack backtrace:
${WARNED}`;
  assertEquals(problems(`======================================================\n${report}`), [report]);
});

Deno.test("warnings begin with their own words, and are one problem with what follows", () => {
  const cut = "------------[ cut here ]------------";
  for (
    const [words, where] of [
      ["refcount_t: addition on 0; use-after-free.", "lib/refcount.c:25 refcount_warn_saturate+0xc8/0x110"],
      [
        "ODEBUG: free active (active state 0) object type: timer_list hint: fire+0x0/0x10 [bad]",
        "lib/debugobjects.c:502 debug_print_object+0xe0/0x110",
      ],
      [
        "DMA-API: e1000 0000:01:00.0: device driver frees DMA memory with different size [map size=512 bytes] [unmap size=256 bytes]",
        "kernel/dma/debug.c:1007 check_unmap+0x6d2/0x13a0",
      ],
      [
        "list_del corruption, ffff88800a1b2c00->next is LIST_POISON1 (dead000000000100)",
        "lib/list_debug.c:55 __list_del_entry_valid+0x9e/0x100",
      ],
      ["what a module says of itself", "bad.c:60 bad_init+0x61/0x1000 [bad]"],
    ]
  ) {
    const report = `${words}\nWARNING: CPU: 0 PID: 181 at ${where}\nModules linked in: bad(O+)\n${WARNED}`;
    assertEquals(problems(`${cut}\n${report}\n---[ end trace 0000000000000000 ]---`), [report], words);
  }
  const bare = `WARNING: CPU: 0 PID: 181 at kernel/x.c:1 x+0x1/0x2\n${WARNED}`;
  assertEquals(problems(`${cut}\n${bare}\n${cut}\n${bare}`), [bare, bare]);
});

Deno.test("what only says more of a report above is no problem of its own", () => {
  const memory = `pagealloc: memory corruption\n000000007d292589: 01\n${TRACE}`;
  assertEquals(problems(`${memory}\npage dumped because: pagealloc: corrupted page details`), [memory]);
  const mapping = `DMA-API: pci 0000:01:00.0: device driver frees DMA memory with different size\n${TRACE}`;
  const where = "DMA-API: Mapped at:\n debug_dma_map_page+0x77/0x4a0\n bad_init+0x863/0xfe0 [bad]";
  assertEquals(problems(`${mapping}\n---[ end trace 0000000000000000 ]---\n${where}`), [mapping]);
});

Deno.test("an oops is one problem, and the panic after it another", () => {
  const oops = `BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor write access in kernel mode
#PF: error_code(0x0002) - not-present page
Oops: 0002 [#1] PREEMPT SMP KASAN
${WARNED}`;
  const panic = "Kernel panic - not syncing: Fatal exception";
  assertEquals(problems(`${oops}\n${panic}`), [oops, `${panic}\ne1000: link is up`]);
});

Deno.test("what else such a kernel complains of", () => {
  for (
    const words of [
      "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580",
      "BUG: scheduling while atomic: insmod/181/0x00000002",
      "BUG: using smp_processor_id() in preemptible [00000000] code: insmod/181",
      "WARNING: suspicious RCU usage",
      "WARNING: inconsistent lock state",
      "WARNING: possible recursive locking detected",
      "WARNING: bad unlock balance detected!",
      "INFO: trying to register non-static key.",
      "BUG kmalloc-64 (Tainted: G           O      ): Redzone overwritten",
      "pagealloc: memory corruption",
      "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-64' (offset 0, size 65)!",
      "detected buffer overflow in memcpy",
      "kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
      "INFO: task ring3:181 blocked for more than 120 seconds.",
      "rcu: INFO: rcu_preempt self-detected stall on CPU",
      "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 45s!",
      "unregister_netdevice: waiting for r3n0 to become free. Usage count = 2",
      "ref_tracker: leaked reference.",
      'irq 16: nobody cared (try booting with the "irqpoll" option)',
      "sysfs: cannot create duplicate filename '/devices/virtual/net/r3n0'",
    ]
  ) assertEquals(problems(`${words}\n${TRACE}`), [`${words}\n${TRACE}`]);
});

Deno.test("a check that has turned itself off is a problem: it sees nothing any more", () => {
  for (
    const words of [
      "kmemleak: Memory pool empty, consider increasing CONFIG_DEBUG_KMEMLEAK_MEM_POOL_SIZE",
      "kmemleak: Kernel memory leak detector disabled",
      "kmemleak: Cannot insert 0xffff888000000000 into the object search tree (overlaps existing)",
      "BUG: MAX_LOCKDEP_CHAINS too low!",
      "turning off the locking correctness validator.",
      "DMA-API: debugging out of memory - disabling",
      "ODEBUG: Out of memory. ODEBUG disabled",
    ]
  ) assertEquals(problems(words).length, 1, words);
});

Deno.test("what its checks say at boot is no problem", () => {
  assertEquals(
    problems(`kasan: KernelAddressSanitizer initialized
Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
kmemleak: Kernel memory leak detector initialized (mem pool available: 64912)
ODEBUG: selftest passed
ODEBUG: 0 of 0 active objects replaced
DMA-API: preallocated 65536 debug entries
DMA-API: debugging enabled by kernel config
mem auto-init: stack:off, heap alloc:off, heap free:off
** This system shows unhashed kernel memory addresses via the console`),
    [],
  );
});
