/** Every call with a structure that is too small, too large, or says what this version does not know. */
import { assertEquals } from "@std/assert";
import { uapi } from "../../../src/kernel/mod.ts";
import {
  assertErrno,
  type CallLayout,
  claimCard,
  errnoName,
  grantOf,
  library,
  openDevice,
  raw,
  runCases,
} from "./harness.ts";

const { CALL } = uapi;

/** Which file a call is made on. */
type On = "device" | "claim" | "grant";

interface Call {
  number: number;
  on: On;
  layout: CallLayout;
  /** Values with which only what a case changes is wrong. */
  values?: Record<string, unknown>;
}

const CALLS: Record<string, Call> = {
  CLAIM: { number: CALL.CLAIM, on: "device", layout: uapi.CLAIM_ARGS, values: { address: "ffff:ff:1f.7" } },
  TOTALS: { number: CALL.TOTALS, on: "device", layout: uapi.TOTALS },
  GRANT: { number: CALL.GRANT, on: "claim", layout: uapi.GRANT_ARGS, values: { dma_bits: 64 } },
  PORT_NET: {
    number: CALL.PORT_NET,
    on: "claim",
    layout: uapi.PORT_NET,
    values: { queues: 1, ring_size: 64, name: "r3t%d" },
  },
  PORT_BLOCK: {
    number: CALL.PORT_BLOCK,
    on: "claim",
    layout: uapi.PORT_BLOCK,
    values: { queues: 1, ring_size: 64, hold_ms: 1, request_ms: 1, name: "r3t%d" },
  },
  STATUS: { number: CALL.STATUS, on: "claim", layout: uapi.STATUS },
  SIGNAL: { number: CALL.SIGNAL, on: "claim", layout: uapi.SIGNAL },
  REVOKE: { number: CALL.REVOKE, on: "claim", layout: uapi.REVOKE },
  CHANNELS: { number: CALL.CHANNELS, on: "claim", layout: uapi.CHANNELS },
  PORT_DOWN: { number: CALL.PORT_DOWN, on: "claim", layout: uapi.PORT_DOWN },
  INFO: { number: CALL.INFO, on: "grant", layout: uapi.INFO },
  IRQ: { number: CALL.IRQ, on: "grant", layout: uapi.IRQ },
  DMA_ALLOC: { number: CALL.DMA_ALLOC, on: "grant", layout: uapi.DMA_ALLOC, values: { length: 4096n } },
  DMA_MAP: { number: CALL.DMA_MAP, on: "grant", layout: uapi.DMA_MAP, values: { flags: 1 } },
  DMA_UNMAP: { number: CALL.DMA_UNMAP, on: "grant", layout: uapi.DMA_UNMAP },
  BUS_MASTER: { number: CALL.BUS_MASTER, on: "grant", layout: uapi.BUS_MASTER },
  PORT_ATTACH: { number: CALL.PORT_ATTACH, on: "grant", layout: uapi.PORT_ATTACH_NET, values: { kind: 1 } },
  PORT_CONFIG: { number: CALL.PORT_CONFIG, on: "grant", layout: uapi.PORT_CONFIG_NET },
  PORT_REPORT: { number: CALL.PORT_REPORT, on: "grant", layout: uapi.PORT_REPORT_NET, values: { kind: 1 } },
  WAIT: { number: CALL.WAIT, on: "grant", layout: uapi.WAIT },
  PIO: { number: CALL.PIO, on: "grant", layout: uapi.PIO, values: { count: 1 } },
};

/** One file of each kind, for as long as `use` takes. */
function withFiles(use: (files: Record<On, number>) => void): void {
  using claim = claimCard();
  using grant = grantOf(claim);
  const device = openDevice();
  try {
    use({ device, claim: claim.fd, grant: grant.fd });
  } finally {
    library.r3_close(device);
  }
}

/** What calls answer to bytes made from their right ones. */
function answers(
  change: (call: Call) => Uint8Array<ArrayBuffer>,
  names = Object.keys(CALLS),
): Record<string, string> {
  const found: Record<string, string> = {};
  withFiles((files) => {
    for (const name of names) {
      const call = CALLS[name];
      found[name] = errnoName(library.r3_call(files[call.on], call.number, change(call)));
    }
  });
  return found;
}

/** The same answer of every call. */
function all(answer: string): Record<string, string> {
  return Object.fromEntries(Object.keys(CALLS).map((name) => [name, answer]));
}

/** A call's right bytes with `extra` more behind them, and that size in argsz. */
function longer({ layout, values }: Call, extra: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(layout.size + extra);
  bytes.set(layout.encode({ ...values, argsz: bytes.length }));
  return bytes;
}

/** Fields that must be zero and how to make them something else. */
const RESERVED: [call: string, field: string][] = [
  ["TOTALS", "reserved"],
  ["IRQ", "reserved"],
  ["DMA_UNMAP", "reserved"],
  ["BUS_MASTER", "reserved"],
  ["PIO", "reserved"],
];

await runCases({
  "argsz one below the structure is EINVAL": () => {
    assertEquals(
      answers(({ layout, values }) => layout.encode({ ...values, argsz: layout.size - 1 })),
      all("EINVAL"),
    );
  },

  "argsz zero is EINVAL": () => {
    assertEquals(answers(({ layout, values }) => layout.encode({ ...values, argsz: 0 })), all("EINVAL"));
  },

  "a longer structure with something in its tail is E2BIG": () => {
    const tail = (call: Call) => {
      const bytes = longer(call, 8);
      bytes[bytes.length - 1] = 1;
      return bytes;
    };
    assertEquals(answers(tail), all("E2BIG"));
  },

  "argsz above a page is E2BIG, whatever follows": () => {
    assertEquals(answers((call) => longer(call, 8192)), all("E2BIG"));
  },

  "a longer structure with a zero tail is taken": () => {
    const names = ["TOTALS", "STATUS", "SIGNAL", "INFO", "DMA_ALLOC", "BUS_MASTER", "WAIT", "REVOKE"];
    assertEquals(
      answers((call) => longer(call, 8), names),
      Object.fromEntries(names.map((name) => [name, "0"])),
    );
  },

  "an unknown flag is EINVAL": () => {
    for (const flag of [1 << 2, 0x80000000]) {
      assertEquals(
        answers(({ layout, values }) => layout.encode({ ...values, argsz: layout.size, flags: flag })),
        all("EINVAL"),
      );
    }
  },

  "a reserved field that is not zero is EINVAL": () => {
    withFiles((files) => {
      for (const [name, field] of RESERVED) {
        const { number, on, layout, values } = CALLS[name];
        const { result } = raw(files[on], number, { layout, values: { ...values, [field]: 1 } });
        assertErrno(result, "EINVAL", `${name}.${field}`);
      }
    });
  },

  "a null pointer is EFAULT": () => {
    withFiles((files) => {
      for (const [name, { number, on }] of Object.entries(CALLS)) {
        const result = library.r3_call(files[on], number, null);
        assertErrno(result, "EFAULT", name);
      }
    });
  },

  "an unknown call is ENOTTY on every file": () => {
    withFiles((files) => {
      for (const [kind, fd] of Object.entries(files)) {
        for (const number of [0x02, 0x18, 0x2b, 0x7f, 0xff]) {
          assertErrno(library.r3_call(fd, number, new Uint8Array(64)), "ENOTTY", `${kind} ${number}`);
        }
      }
    });
  },

  "a call on a file of another kind is ENOTTY": () => {
    withFiles((files) => {
      for (const [name, { number, on, layout, values }] of Object.entries(CALLS)) {
        for (const [kind, fd] of Object.entries(files)) {
          if (kind === on) continue;
          assertErrno(raw(fd, number, { layout, values }).result, "ENOTTY", `${name} on a ${kind}`);
        }
      }
    });
  },

  "an IRQ file has no calls": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const irq = grant.irqFile();
    for (const [name, { number, layout }] of Object.entries(CALLS)) {
      assertErrno(raw(irq, number, { layout }).result, "ENOTTY", name);
    }
  },

  "after REVOKE every call of a grant is EKEYREVOKED": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    claim.revoke();
    for (const [name, { number, on, layout, values }] of Object.entries(CALLS)) {
      if (on === "grant") assertErrno(raw(grant.fd, number, { layout, values }).result, "EKEYREVOKED", name);
    }
  },
});
