// SPDX-License-Identifier: MIT
/*
 * The trusted side: it claims the device, makes the port, and gives one grant
 * after the other to hostile processes. After each, everything that they had
 * must be back; after each claim, the module must hold nothing.
 *
 * Tells by lines of JSON: how far it is, every three seconds and at its end,
 * and what did not hold.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INTERFACE	"r3f0"
#define DISK		"r3f0"
#define DISK_USERS	5
#define DRIVER_UID	61000
#define ACCOMPLICE_UID	61001
#define PATIENCE	20	/* seconds for what takes milliseconds, on a slow machine */
#define REPORT_SECONDS	3
#define MAX_ROUNDS	12	/* of one claim */
#define MAX_CALLS	6000	/* of one round, */
#define ROUND_SECONDS	4	/* and the most that it takes */

static const char *const kind_names[] = {
#define NAME(name) [DO_##name] = #name,
	KINDS(NAME)
#undef NAME
};

static const char *const end_names[] = {
	"none", "released", "revoked", "lost", "protocol", "stalled",
};

static struct {
	const char *card, *ide;		/* addresses; the second may be NULL */
	bool on_ide;			/* this claim is of that */
	uint64_t seed;
	unsigned long round, claims;
	unsigned long ends[COUNT(end_names)];
	unsigned long findings;
	int device, claim;
	struct timespec start;
	double reported;
} run;

struct tally *tally;

long tallied(enum kind kind, long result)
{
	atomic_fetch_add_explicit(result < 0 ? &tally->failed[kind] : &tally->succeeded[kind], 1,
				  memory_order_relaxed);
	return result;
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)(at.tv_sec - run.start.tv_sec) +
	       (double)(at.tv_nsec - run.start.tv_nsec) / 1e9;
}

__attribute__((format(printf, 1, 2))) static void found(const char *format, ...)
{
	char text[256];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	printf("{\"finding\":\"round %lu: %s\"}\n", run.round, text);
	fflush(stdout);
	run.findings++;
}

/*
 * A call that the trusted side makes has to succeed: whatever hostile processes
 * do, the claim is ours.
 */
static long must(long result, const char *what)
{
	if (result >= 0)
		return result;
	found("cannot %s: %s", what, strerror(errno));
	exit(1);
}

/* What hostile processes have done so far, without what they do to memory alone. */
static unsigned long calls(void)
{
	unsigned long sum = 0;
	size_t i;

	for (i = 0; i < DO_device; i++)
		sum += tally->succeeded[i] + tally->failed[i];
	return sum;
}

static void report(bool done)
{
	size_t i;

	printf("{\"round\":%lu,\"claims\":%lu,\"seconds\":%.1f,\"done\":%s,\"ends\":{",
	       run.round, run.claims, now(), done ? "true" : "false");
	for (i = 1; i < COUNT(end_names); i++)
		printf("%s\"%s\":%lu", i > 1 ? "," : "", end_names[i], run.ends[i]);
	printf("},\"calls\":{");
	for (i = 0; i < N_KINDS; i++)
		printf("%s\"%s\":[%lu,%lu]", i ? "," : "", kind_names[i], tally->succeeded[i],
		       tally->failed[i]);
	printf("}}\n");
	fflush(stdout);
	run.reported = now();
}

/* ---- claim, port and interface ---- */

static struct r3_status status(void)
{
	struct r3_status args = { .argsz = sizeof(args) };

	must(ioctl(run.claim, R3_STATUS, &args), "read the claim's status");
	return args;
}

static int grant(const struct r3_grant_args *args)
{
	return (int)must(ioctl(run.claim, R3_GRANT, args), "make a grant");
}

/* The interface's settings: whatever a root process may ask of it, whoever drives it. */
static void interface_ioctl(struct random *random, unsigned int which)
{
	struct ifreq request = { .ifr_name = INTERFACE };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	switch (which) {
	case 0:
	case 1:
		ioctl(fd, SIOCGIFFLAGS, &request);
		request.ifr_flags = (short)(which ? request.ifr_flags ^ IFF_PROMISC :
						    request.ifr_flags ^ IFF_UP);
		ioctl(fd, SIOCSIFFLAGS, &request);
		break;
	case 2:
		request.ifr_mtu = (int)(68 + random_below(random, 9000));
		ioctl(fd, SIOCSIFMTU, &request);
		break;
	default:
		memcpy(request.ifr_hwaddr.sa_data,
		       (uint8_t[]){ 1, 0, 0x5e, 1, 1, (uint8_t)random_below(random, 80) }, 6);
		ioctl(fd, random_chance(random, 4) ? SIOCDELMULTI : SIOCADDMULTI, &request);
	}
	close(fd);
}

static void address_set(int fd, unsigned long call, const char *text)
{
	struct ifreq request = { .ifr_name = INTERFACE };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text) };

	memcpy(&request.ifr_addr, &address, sizeof(address));
	must(ioctl(fd, call, &request), "give the interface its address");
}

/* Up, with an address and a neighbour. */
static void interface_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in theirs = {
		.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.66.0.2"),
	};
	struct arpreq neighbour = { .arp_flags = ATF_COM | ATF_PERM, .arp_dev = INTERFACE };
	struct ifreq request = { .ifr_name = INTERFACE, .ifr_flags = IFF_UP | IFF_RUNNING };

	address_set(fd, SIOCSIFADDR, "10.66.0.1");
	address_set(fd, SIOCSIFNETMASK, "255.255.255.0");
	must(ioctl(fd, SIOCSIFFLAGS, &request), "bring the interface up");
	memcpy(&neighbour.arp_pa, &theirs, sizeof(theirs));
	neighbour.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(neighbour.arp_ha.sa_data, (uint8_t[]){ 2, 0, 0, 0, 0, 2 }, 6);
	must(ioctl(fd, SIOCSARP, &neighbour), "give the interface a neighbour");
	close(fd);
}

/* The interface appears with its first driver: be that for a moment. */
static void introduce(void)
{
	struct r3_grant_args args = { .argsz = sizeof(args), .dma_bits = 64 };
	struct r3_port_attach attach = {
		.argsz = sizeof(attach), .kind = R3_PORT_KIND_NET,
		.net = { .mac = { 2, 0, 0, 0, 0, 1 }, .max_mtu = 9000,
			 .features = R3_NET_FEATURES, .max_segments = 18 },
	};
	struct r3_port_report link = {
		.argsz = sizeof(link), .kind = R3_PORT_KIND_NET,
		.net = { .link = 1, .speed = 1000, .full_duplex = 1 },
	};
	int fd = grant(&args);

	must(ioctl(fd, R3_PORT_ATTACH, &attach), "attach to the port");
	must(ioctl(fd, R3_PORT_REPORT, &link), "report a link");
	close(fd);
	interface_up();
}

static void port_net(struct random *random)
{
	struct r3_port_net port = { .argsz = sizeof(port), .queues = 1, .name = INTERFACE };

	port.ring_size = 64u << random_below(random, 4);
	must(ioctl(run.claim, R3_PORT_NET, &port), "make the port");
	introduce();
}

/* The disk is what its first driver says: in most claims one that says what the others will say. */
static void port_block(struct random *random)
{
	static const uint32_t times[] = { 30, 200, 1000 };
	struct r3_port_block port = {
		.argsz = sizeof(port), .queues = 1 + random_below(random, 3),
		.ring_size = 64u << random_below(random, 4),
		.policy = random_below(random, 2) ? R3_BLOCK_REISSUE : R3_BLOCK_FAIL,
		.hold_ms = times[random_below(random, COUNT(times))],
		.request_ms = times[random_below(random, COUNT(times))], .name = DISK,
	};
	struct r3_grant_args args = { .argsz = sizeof(args), .dma_bits = run.on_ide ? 32 : 64 };
	struct r3_port_attach attach = { .argsz = sizeof(attach), .kind = R3_PORT_KIND_BLOCK };
	int fd;

	must(ioctl(run.claim, R3_PORT_BLOCK, &port), "make the port");
	disk_choose(random, port.ring_size, port.queues);
	attach.block = disk;
	if (random_chance(random, 4))
		return;
	fd = grant(&args);
	must(ioctl(fd, R3_PORT_ATTACH, &attach), "attach to the port");
	close(fd);
}

/*
 * In turn a card with an interface, one with a disk, and an IDE controller with
 * one, whose ports are another matter.
 */
static void claim_open(struct random *random)
{
	struct r3_claim_args claim = { .argsz = sizeof(claim) };
	unsigned int turn = run.claims % 3;

	run.on_ide = run.ide && turn == 2;
	snprintf(claim.address, sizeof(claim.address), "%s", run.on_ide ? run.ide : run.card);
	run.claim = (int)must(ioctl(run.device, R3_CLAIM, &claim), "claim the device");
	run.claims++;
	disk.sectors = 0;
	if (turn)
		port_block(random);
	else
		port_net(random);
}

/* Everything of the claim has gone. */
static void claim_close(void)
{
	static const struct r3_counters none;
	struct r3_totals totals = { .argsz = sizeof(totals) };
	double until = now() + PATIENCE;

	close(run.claim);
	do {
		totals.argsz = sizeof(totals);
		must(ioctl(run.device, R3_TOTALS, &totals), "read the module's totals");
		if (!memcmp(&totals.counters, &none, sizeof(none)))
			return;
		usleep(10000);
	} while (now() < until);
	found("the module holds %u claims, %u grants, %u ports, %u irqs, %u regions, %u mappings, "
	      "%u maps, %u pinned, %llu bytes, %u buffers, %u frames",
	      totals.counters.claims, totals.counters.grants, totals.counters.ports,
	      totals.counters.irqs, totals.counters.regions, totals.counters.mappings,
	      totals.counters.dma_maps, totals.counters.pinned_pages, totals.counters.dma_bytes,
	      totals.counters.rx_buffers, totals.counters.tx_frames);
}

/* ---- hostile processes ---- */

/* Be nobody, with little. */
static void drop(uid_t uid, struct random *random)
{
	static const rlim_t locked[] = { 0, 65536, 8 << 20, 64 << 20 };
	struct rlimit memlock = { .rlim_cur = locked[random_below(random, COUNT(locked))] };
	struct rlimit files = { 200, 200 }, processes = { 60, 60 }, core = { 0, 0 };

	memlock.rlim_max = memlock.rlim_cur;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpriority(PRIO_PROCESS, 0, 5);
	setrlimit(RLIMIT_MEMLOCK, &memlock);
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_NPROC, &processes);
	setrlimit(RLIMIT_CORE, &core);
	must(setgroups(0, NULL), "drop groups");
	must(setgid(uid), "drop the group");
	must(setuid(uid), "drop the user");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* Dropping has cleared it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Start one, in the group of the other. Without a grant it is the accomplice. */
static pid_t start(int grant_fd, int socket, struct random *random, pid_t group)
{
	enum temper temper = random_below(random, N_TEMPERS);
	uint64_t seed = random_next(random);
	pid_t pid = (pid_t)must(fork(), "start a process");

	/* Both do it: whoever comes first. */
	setpgid(pid, group ? group : pid);
	if (pid)
		return pid;
	close(run.device);
	close(run.claim);
	drop(grant_fd >= 0 ? DRIVER_UID : ACCOMPLICE_UID, random);
	if (grant_fd >= 0)
		attack(grant_fd, socket, temper, seed);
	attack_accomplice(socket, seed);
}

/* End the round's processes, a group: those that have lost their parent are ours to wait for. */
static void end_processes(pid_t group)
{
	double until = now() + PATIENCE;

	while (kill(-group, SIGKILL) == 0 || errno != ESRCH) {
		while (waitpid(-group, NULL, WNOHANG) > 0)
			;
		if (now() > until) {
			found("a process does not die");
			return;
		}
		usleep(2000);
	}
}

/* ---- a round ---- */

/* What the trusted side does meanwhile. */
static void meddle(struct random *random)
{
	struct r3_signal signal = { .argsz = sizeof(signal) };
	struct r3_revoke revoke = { .argsz = sizeof(revoke) };
	struct r3_channels channels = { .argsz = sizeof(channels) };
	struct r3_port_down down = { .argsz = sizeof(down) };

	switch (random_below(random, 12)) {
	case 0:
		ioctl(run.claim, R3_SIGNAL, &signal);
		break;
	case 1:
		ioctl(run.claim, R3_CHANNELS, &channels);
		break;
	case 2:
		ioctl(run.claim, R3_PORT_DOWN, &down);
		break;
	case 3:
	case 4:
		if (!disk.sectors)
			interface_ioctl(random, random_below(random, 4));
		break;
	case 5:
		if (random_chance(random, 8))
			ioctl(run.claim, R3_REVOKE, &revoke);
		break;
	default:
		status();
	}
}

/* The grant has ended and nothing of it is left. */
static void check_round(void)
{
	double until = now() + PATIENCE;
	struct r3_status at;

	for (;;) {
		const struct r3_counters *left = &at.counters;

		at = status();
		if (!at.live && !left->grants && !left->irqs && !left->regions && !left->mappings &&
		    !left->dma_maps && !left->pinned_pages && !left->dma_bytes && !left->tx_frames)
			break;
		if (now() > until) {
			found("left: live %u, %u grants, %u irqs, %u regions, %u mappings, "
			      "%u maps, %u pinned, %llu bytes, %u frames",
			      at.live, left->grants, left->irqs, left->regions, left->mappings,
			      left->dma_maps, left->pinned_pages, left->dma_bytes, left->tx_frames);
			break;
		}
		usleep(5000);
	}
	run.ends[at.end < COUNT(end_names) ? at.end : 0]++;
}

/*
 * Ports and interrupts of an IDE controller in compatibility mode: two channels,
 * and its bus masters.
 */
static void ask_for_ide(struct r3_grant_args *args, struct random *random)
{
	static const struct r3_window windows[] = {
		{ .bar = 0, .length = 8 }, { .bar = 1, .length = 1 }, { .bar = 2, .length = 8 },
		{ .bar = 3, .length = 1 }, { .bar = 4, .length = 16 },
	};

	args->dma_bits = 32;
	args->irq_type = R3_IRQ_IDE;
	args->irqs = random_below(random, 3);
	args->windows = COUNT(windows);
	memcpy(args->window, windows, sizeof(windows));
}

static void play_round(struct random *random)
{
	static const uint32_t stalls[] = { 0, 0, 1, 20, 200 };
	struct r3_grant_args args = {
		.argsz = sizeof(args), .windows = 1, .irqs = !random_chance(random, 6),
		.irq_type = R3_IRQ_INTX, .dma_bits = random_chance(random, 4) ? 32 : 64,
		.dma_limit = 65536u << random_below(random, 8),
		.stall_ms = stalls[random_below(random, COUNT(stalls))],
		.window = { { .bar = 0, .length = 128 * 1024 } },
	};
	unsigned long goal = calls() + 100 + random_below(random, MAX_CALLS);
	double until = now() + ROUND_SECONDS;
	int pair[2], fd;
	pid_t group;

	if (run.on_ide)
		ask_for_ide(&args, random);
	fd = grant(&args);
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), "make a pair of sockets");
	group = start(fd, pair[0], random, 0);
	start(-1, pair[1], random, group);
	close(pair[0]);
	close(pair[1]);
	close(fd);
	while (now() < until && calls() < goal) {
		meddle(random);
		usleep(random_below(random, 8000));
		/* Let them do a little more with a grant that has ended. */
		if (!status().live && until > now() + 0.03)
			until = now() + 0.03;
	}
	end_processes(group);
	check_round();
}

/* Start one that uses what the drivers serve, in the group of the others. */
static pid_t start_user(uint64_t seed, pid_t group)
{
	pid_t pid = (pid_t)must(fork(), "start a process");

	setpgid(pid, group ? group : pid);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(run.device);
	close(run.claim);
	if (disk.sectors)
		disk_use("/dev/" DISK, seed);
	traffic_use(INTERFACE, seed);
	_exit(0);
}

static pid_t start_users(struct random *random)
{
	pid_t group = start_user(random_next(random), 0);
	uint32_t i;

	for (i = 1; disk.sectors && i < DISK_USERS; i++)
		start_user(random_next(random), group);
	return group;
}

int root_run(const char *card, const char *ide, uint64_t seed, unsigned int seconds)
{
	run.card = card;
	run.ide = ide;
	run.seed = seed;
	clock_gettime(CLOCK_MONOTONIC, &run.start);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (tally == MAP_FAILED) {
		fprintf(stderr, "ring3-fuzz: no memory for the tally\n");
		return 1;
	}
	run.device = open("/dev/ring3", O_RDWR | O_CLOEXEC);
	if (run.device < 0) {
		fprintf(stderr, "ring3-fuzz: cannot open /dev/ring3: %s\n", strerror(errno));
		return 1;
	}
	while (now() < seconds && !run.findings) {
		struct random random = { random_mix(seed, run.round) };
		uint32_t rounds = 1 + random_below(&random, MAX_ROUNDS);
		pid_t users;

		claim_open(&random);
		users = start_users(&random);
		for (; rounds && now() < seconds && !run.findings; rounds--) {
			struct random own = { random_mix(seed, run.round) };

			play_round(&own);
			run.round++;
			if (now() - run.reported > REPORT_SECONDS)
				report(false);
		}
		/*
		 * They still have the interface or the disk open when it goes, and nothing
		 * to wait for then.
		 */
		claim_close();
		end_processes(users);
		if (atomic_exchange(&tally->remains, 0))
			found("a read of a disk shows what was in memory before");
	}
	report(true);
	return run.findings ? 1 : 0;
}
