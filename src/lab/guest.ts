// What runs in the guest before the first command: from the kernel's hand-over to a listening sshd.

/** Where the guest finds the checkout, read-only. */
export const CHECKOUT = "/ring3";

/** Where the guest has Deno. */
export const DENO = "/usr/local/bin/deno";

/** Where the guest keeps Deno's cache, filled when the image is made. */
export const DENO_DIR = "/var/lib/ring3/deno";

/** The first line with this on the console says that the guest takes commands. */
export const READY = "Server listening on";

/** With this on its command line the kernel is only tried: the guest says {@link PROBED} and ends. */
export const PROBE = "ring3.probe";
export const PROBED = "ring3-lab: this kernel boots";

/** The guest's address on the management network, and that of the host there. */
export const MANAGEMENT = { network: "10.2.0.0/24", host: "10.2.0.2", guest: "10.2.0.15" } as const;

/** What every command in the guest finds in its environment. */
export const ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  LANG: "C.UTF-8",
  DENO_DIR,
  DENO_NO_UPDATE_CHECK: "1",
  // Everything that ring3 needs has been built outside: see src/run/files.ts.
  RING3_LAB: "1",
};

/**
 * `/init` of the initramfs, run by a static busybox: loads the modules in /modules by name order, mounts
 * everything, and hands over to {@link init}. One process that only forks is what makes it fast.
 */
export const INITRAMFS_INIT = `#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
read -r arguments < /proc/cmdline
case " $arguments " in
*" ${PROBE} "*)
  echo "${PROBED}"
  busybox poweroff -f
esac
fail() {
  echo "ring3-lab: cannot $1"
  busybox poweroff -f
}
for module in /modules/*; do
  # A kernel with everything built in has none.
  [ -e "$module" ] || continue
  busybox insmod "$module" || fail "load $module"
done
busybox mount -t devtmpfs dev /dev
busybox mount -t ext4 /dev/vda /root || fail "mount the root file system"
busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 ring3 /root${CHECKOUT} ||
  fail "mount the checkout"
busybox mount -t sysfs sys /root/sys
busybox mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
busybox mount -t debugfs debugfs /root/sys/kernel/debug
busybox mount -t tracefs tracefs /root/sys/kernel/tracing
busybox mount -t tmpfs -o mode=755 run /root/run
busybox mount -t tmpfs -o mode=1777 tmp /root/tmp
busybox mount --move /dev /root/dev
busybox mkdir /root/dev/pts /root/dev/shm /root/run/sshd
busybox mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /root/dev/pts
busybox mount -t tmpfs -o mode=1777 shm /root/dev/shm
for net in /root/sys/bus/virtio/drivers/virtio_net/virtio*/net/*; do
  management=\${net##*/}
done
busybox ip link set lo up
busybox ip address add ${MANAGEMENT.guest}/24 dev "$management"
busybox ip link set "$management" up
busybox hostname lab
busybox mount --move /proc /root/proc
exec busybox switch_root /root /usr/local/lib/ring3/init
`;

/**
 * Process 1 of the guest: runs sshd, and reaps what nobody else waits for.
 *
 * A socket that wants its packets' times is held open for as long as the guest runs, as a time service would.
 * Each `ping` is one, and the first that opens and the last that closes have the kernel patch its receive path
 * (`netstamp_needed_key`, net/core/dev.c). QEMU's emulator may miss such a patch that another processor makes
 * while it translates the place: that processor then meets the breakpoint of a patch that is long done for
 * ever, and a guest that had pinged thousands of times, or a few, was stuck.
 */
export const INIT = `#!/bin/dash
exec < /dev/null > /dev/console 2>&1
ln -s /bin/ping /run/hold-timestamps
/run/hold-timestamps -q -i 86400 127.0.0.1 > /dev/null &
/usr/sbin/sshd -D -e &
while :; do wait; done
`;

/** `ring3` in the guest: this checkout's command line, without a network. */
export const RING3 = `#!/bin/sh
exec deno run -A --quiet --cached-only --config ${CHECKOUT}/deno.json ${CHECKOUT}/src/cli.ts "$@"
`;

/** The guest's sshd_config. Only root, only with the key that was made with the image. */
export function sshdConfig(environment: Readonly<Record<string, string>>): string {
  const settings = Object.entries(environment).map(([name, value]) => `${name}="${value}"`);
  return `HostKey /etc/ssh/ssh_host_ed25519_key
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxSessions 1000
LogLevel INFO
SetEnv ${settings.join(" ")}
`;
}
