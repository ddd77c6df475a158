/** Whose an instruction is: addresses of the guest to functions of its kernel and files of its processes. */

/** Parts of the system that instructions are counted to, in the order in which they are shown. */
export const AREAS = [
  "driver and host",
  "Deno and V8",
  "libraries of the driver's process",
  "ring3.ko",
  "e1000.ko",
  "nvme.ko, libata",
  "entry and exit",
  "interrupts and timers",
  "scheduler and wake-ups",
  "DMA and IOMMU",
  "PCI configuration",
  "IP and sockets",
  "block layer",
  "copies and checksums",
  "memory and locks",
  "rest of the kernel",
  "program that is served",
  "supervisor and spare",
  "other processes",
] as const;

/** One of them. */
export type Area = (typeof AREAS)[number];

/** What an address belongs to. */
export interface Place {
  area: Area;
  /** Function of the kernel with its module, or the file of a process. */
  name: string;
  /** The address is where that function begins. */
  begins: boolean;
}

/** Functions of the kernel by what they begin with; the first that fits. */
const FUNCTIONS: readonly (readonly [RegExp, Area])[] = [
  [
    /^(rep_movs|memcpy|memmove|memset|__memcpy|__memset|copy_user|_?copy_(to|from)|__?copy|csum|do_csum|clear_page|simple_copy|check_copy|__check_object|check_heap)/,
    "copies and checksums",
  ],
  [
    /^(entry_SYSCALL|do_syscall|syscall_|__x64_sys_(ioctl|send|recv)|__x64_sys|x64_sys|exit_to_user|asm_|error_(entry|return)|common_interrupt_return|swapgs|paranoid|__do_softirq|irqentry|sync_regs|native_iret|restore_regs|__x86_(indirect|return)|srso|retbleed|zen_|entry_|fpregs|switch_fpu|restore_fpregs|ret_from)/,
    "entry and exit",
  ],
  [
    /^(common_interrupt|handle_(irq|edge|fasteoi|level)|__?handle_irq|__common_int|(__)?irq_|ioapic|ack_|apic|native_apic|x2apic|unmask_ioapic|mask_ioapic|note_interrupt|add_interrupt|mix_interrupt|fast_mix|sysvec|__sysvec|hrtimer|__hrtimer|enqueue_hrtimer|timer|__?run_timers|tick_|update_process_times|clockevents|ktime|read_tsc|read_hpet|tsc|lapic|sched_clock|native_sched_clock|__?softirq|raise_softirq|__raise_softirq|tasklet|rcu|__rcu|call_rcu|note_gp|timekeeping|update_wall|timerqueue|__mod_timer|mod_timer|calc_wheel|jiffies|do_softirq|__local_bh|generic_handle|intel_ir|modify_irte|handle_level_irq|handle_irq_event|__do_IRQ|get_random|dmi_|process_timeout|pm_|acpi_|ktime_get)/,
    "interrupts and timers",
  ],
  [
    /^(__?schedule|schedule|sched_|try_to_wake|ttwu|default_wake|autoremove_wake|__wake_up|wake_up|wake_|_?pick_next|put_prev|set_next|enqueue_|dequeue_|update_(rq|curr|load|cfs|min|rq_clock|irq_load)|check_preempt|resched|finish_(task|wait)|prepare_to_wait|prepare_task|__switch|switch_mm|context_switch|select_(task|idle)|available_idle|newidle|__update_load|place_entity|cpuidle|do_idle|default_idle|arch_cpu_idle|cpu_startup|native_(load_tls|write_cr3)|psi_|activate_task|deactivate_task|task_tick|task_work|reweight|load_new_mm|cpu_idle|menu_|need_update|__cond_resched|preempt_|woken_wake|receiver_wake|add_wait_queue|remove_wait|init_wait|calc_load|nohz|migrate_|rcuwait|cpuacct|cgroup|cpuset|account_|vtime|mutex|__mutex|down_read|up_read|rwsem|dl_|rt_|raw_spin_rq|clear_buddies|__calc_delta|__enqueue|__dequeue|yield|wakeup|reset_|perf_event_task|os_xsave|flush_smp|queue_core|intel_idle|haltpoll|acpi_idle|native_safe_halt|default_enter|leave_mm|enter_lazy)/,
    "scheduler and wake-ups",
  ],
  [
    /^(dma_|iommu|__iommu|intel_(iommu|map|unmap)|domain_|__domain|alloc_iova|free_iova|iova|__iova|swiotlb|phys_to|pfn_to_dma|qi_|pt_|dmar|fq_|clflush|arch_(dma|sync)|vtd|queue_iova|remove_iova|find_iova|pgtable|dma_pte|is_swiotlb|__dma)/,
    "DMA and IOMMU",
  ],
  [/^(pci_|raw_pci|__pci|mmcfg|pcibios)/, "PCI configuration"],
  [
    /^(__?ip_|ip_|ip4|inet|__inet|udp|__udp|sock|__sock|sk_|__sk|skb|__skb|___?pskb|pskb|kfree_skb|consume_skb|napi|__napi|netif|__netif|net_|__net|dev_|__dev|eth_|__eth|neigh|__neigh|arp|fib|dst_|ipv4|rt_|gro_|gso|validate_xmit|qdisc|__qdisc|pfifo|sch_|fq_codel|xfrm|nf_|__sys_(send|recv)|sys_|move_addr|import_|dql|bpf|tpacket|alloc_skb|__alloc_skb|build_skb|kmalloc_reserve|process_backlog|__copy_skb|simple_|first_packet|ipv6|icmp|route|page_frag|security_s|apparmor_s|aa_|flow|__flow|loopback|harmonize|passthru|datagram|__consume|enqueue_to|tcp|__build|lock_sock|release_sock|get_l4proto|raw_(local|v4)|csum_partial_ext|__import|sockfd|move_|iov|_copy_from_iter|rps|get_rps|eth_type|reuseport|compute_score|task_(get|set)_|__receive|ep_poll_c|ep_)/,
    "IP and sockets",
  ],
  [
    /^(blk|__blk|bio|__bio|submit_bio|block|iomap|dio|__dio|elv|dd_|deadline|sbitmap|__sbitmap|disk|part_|bdev|blkdev|rq_|mempool|scsi|sd_|sg_|wbt|kyber|bvec|filemap|generic_file|vfs_read|ksys_pread|new_sync|__iomap)/,
    "block layer",
  ],
  [
    /^(kmem|kmalloc|__kmalloc|kfree|___?slab|__slab|slab|get_page|__alloc_pages|alloc_pages|free_|__free|put_page|__put_page|get_partial|page_|mod_|__mod_|_raw|queued_spin|native_queued|__fdget|fput|__fget|fdget|memcg|__memcg|obj_cgroup|refill_|try_charge|cache_|rmqueue|prep_new|should_fail|xas_|xa_|__raw|_copy|__virt|__phys|virt_to|kvmalloc|__folio|folio|gfp|lru|get_pfn|set_pfn|cmpxchg|refcount|lockref|memchr|up_|down_|find_vma|vma|handle_mm|__handle_mm|do_user_addr|exc_page)/,
    "memory and locks",
  ],
];

/** Modules that have an area of their own. */
const MODULES: Readonly<Record<string, Area>> = {
  ring3: "ring3.ko",
  e1000: "e1000.ko",
  nvme: "nvme.ko, libata",
  nvme_core: "nvme.ko, libata",
  libata: "nvme.ko, libata",
  ata_piix: "nvme.ko, libata",
  scsi_mod: "block layer",
  sd_mod: "block layer",
};

interface Symbols {
  addresses: BigUint64Array;
  names: string[];
}

/** A part of a process's memory that can be executed. */
interface Mapping {
  start: bigint;
  end: bigint;
  place: Omit<Place, "begins">;
}

/** Whose memory is whose, at the time it was read. */
export interface Processes {
  /** `/proc/PID/maps` of the driver's process; none while the kernel's driver has the device. */
  driver: string;
  /** Of the program in the guest that makes use of the device. */
  served: string;
  /** Of the supervisor and its spare. */
  supervisor: string;
}

/** Tells of addresses what they are. */
export class AddressMap {
  readonly #kernel: Symbols;
  readonly #user: readonly Mapping[];

  /** @param kallsyms `/proc/kallsyms`, as root sees it. */
  constructor(kallsyms: string, processes: Processes) {
    this.#kernel = symbolsOf(kallsyms);
    this.#user = [
      ...mappingsOf(processes.driver, driverPlace),
      ...mappingsOf(processes.served, (name) => ({ area: "program that is served", name })),
      ...mappingsOf(processes.supervisor, (name) => ({ area: "supervisor and spare", name })),
    ];
  }

  /** What an address belongs to. */
  placeOf(address: bigint): Place {
    if (address < 1n << 63n) {
      const found = this.#user.find(({ start, end }) => start <= address && address < end);
      return { ...(found?.place ?? { area: "other processes", name: "other processes" }), begins: false };
    }
    const { addresses, names } = this.#kernel;
    let [low, high] = [0, addresses.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (addresses[middle] <= address) low = middle + 1;
      else high = middle;
    }
    const name = low === 0 ? "?" : names[low - 1];
    return { area: areaOfFunction(name), name, begins: low > 0 && addresses[low - 1] === address };
  }
}

/** The area of a function of the kernel, as kallsyms names it: with its module in brackets if it has one. */
export function areaOfFunction(name: string): Area {
  const [plain, module] = name.split(" [");
  if (module !== undefined) return MODULES[module.slice(0, -1)] ?? "rest of the kernel";
  return FUNCTIONS.find(([pattern]) => pattern.test(plain))?.[1] ?? "rest of the kernel";
}

function driverPlace(name: string): Mapping["place"] {
  // Code that was made at run time belongs to no file.
  if (name === "") return { area: "driver and host", name: "compiled at run time" };
  if (/\/deno$/.test(name)) return { area: "Deno and V8", name: "deno" };
  return { area: "libraries of the driver's process", name: name.replace(/.*\//, "") };
}

function symbolsOf(kallsyms: string): Symbols {
  const found: [bigint, string][] = [];
  for (const line of kallsyms.split("\n")) {
    const [address, kind, name, module] = line.split(/\s+/);
    if (!/^[tTwW]$/.test(kind ?? "")) continue;
    found.push([BigInt(`0x${address}`), module ? `${name} ${module}` : name]);
  }
  found.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  return {
    addresses: BigUint64Array.from(found, ([address]) => address),
    names: found.map(([, name]) => name),
  };
}

function mappingsOf(maps: string, placeOf: (name: string) => Mapping["place"]): Mapping[] {
  return maps.split("\n").flatMap((line) => {
    const [range, permissions, , , , name = ""] = line.split(/\s+/);
    if (permissions?.[2] !== "x") return [];
    const [start, end] = range.split("-").map((text) => BigInt(`0x${text}`));
    return [{ start, end, place: placeOf(name) }];
  });
}
