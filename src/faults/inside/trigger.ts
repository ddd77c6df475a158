/** When a fault is committed, and how often. Nothing here is drawn: the plan says all of it. */
import { every } from "../../driver/mod.ts";

/** What is counted. A frame or a request counts when the driver completes it. */
export type Counted = "accesses" | "interrupts" | "polls" | "frames" | "requests";

/** When a fault comes, and how often. */
export interface Plan {
  /** The model's name, for the log. */
  model: string;
  when: {
    /** So many pass before it. */
    after: number;
    of: Counted | "ms";
    /** From where on they count: the first poll, or bring-up. */
    since: "ready" | "start";
  };
  times: number | "always";
}

/** Counts what happens, and says when the fault is due. */
export class Trigger {
  readonly #plan: Plan;
  readonly #tell: (line: string) => void;
  readonly #onTime: () => void;
  #left: number;
  #counting = false;
  #count = 0;
  #armed = false;
  #told = false;

  /** @param options `tell`: takes the line that says that it has come; `onTime`: called when it comes by time. */
  constructor(plan: Plan, { tell, onTime }: { tell: (line: string) => void; onTime: () => void }) {
    this.#plan = plan;
    this.#tell = tell;
    this.#onTime = onTime;
    this.#left = plan.times === "always" ? Infinity : plan.times;
  }

  /** Its time has come: from here on it is committed wherever it can be, as often as the plan says. */
  get armed(): boolean {
    return this.#armed;
  }

  /** Says how far the driver has come. */
  begin(what: "start" | "ready"): void {
    const { after, of, since } = this.#plan.when;
    if (since !== what || this.#counting) return;
    this.#counting = true;
    if (of !== "ms") return;
    if (after === 0) {
      this.#armed = true;
      return;
    }
    const timer = every(after, () => {
      timer[Symbol.dispose]();
      this.#armed = true;
      this.#onTime();
    });
  }

  /** Counts one that is about to happen. */
  note(what: Counted): void {
    const { after, of } = this.#plan.when;
    if (this.#counting && of === what && ++this.#count > after) this.#armed = true;
  }

  /** Whether to commit it now; takes one of its times if so, and tells of the first. @param what As in "STATUS reads 0". */
  hit(what: string): boolean {
    if (!this.#armed || this.#left <= 0) return false;
    this.#left--;
    if (!this.#told) {
      this.#told = true;
      this.#tell(`fault ${this.#plan.model}: ${what}`);
    }
    return true;
  }
}
