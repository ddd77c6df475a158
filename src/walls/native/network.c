// SPDX-License-Identifier: MIT
/* Attempts on the network, and on what else processes talk through. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <mqueue.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "attempt.h"

static int connect_tcp(char **port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port[0])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? errno : failed(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int send_udp(char **address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, address[0], &to.sin_addr);
	return fd < 0 ? errno : failed(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)));
}

static int connect_unix(const char *name, size_t size)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(to.sun_path, name, size);
	return fd < 0 ? errno :
	       failed(connect(fd, (struct sockaddr *)&to,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)));
}

static int connect_abstract(char **unused)
{
	(void)unused;
	return connect_unix("\0" VICTIM_ABSTRACT, sizeof(VICTIM_ABSTRACT));
}

static int connect_path(char **unused)
{
	(void)unused;
	return connect_unix(VICTIM_SOCKET, sizeof(VICTIM_SOCKET));
}

static int raw_socket(char **unused)
{
	(void)unused;
	return failed(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

/* Everything on every interface. */
static int sniff(char **unused)
{
	(void)unused;
	return failed(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
}

static int interface_down(char **name)
{
	struct ifreq request = { .ifr_flags = 0 };
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name[0]);
	return fd < 0 ? errno : failed(ioctl(fd, SIOCSIFFLAGS, &request));
}

/* Looks for an interface of the machine's. */
static int find_interface(char **name)
{
	struct ifreq request = { .ifr_flags = 0 };
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name[0]);
	return fd < 0 ? errno : failed(ioctl(fd, SIOCGIFFLAGS, &request));
}

/* Events of the machine's devices, and a way into old parts of the kernel. */
static int hear_devices(char **unused)
{
	struct sockaddr_nl all = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	const int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);

	(void)unused;
	return fd < 0 ? errno : failed(bind(fd, (struct sockaddr *)&all, sizeof(all)));
}

static int read_shm(char **unused)
{
	const int id = shmget(VICTIM_SHM, 0, 0);
	const char *at = id < 0 ? (void *)-1 : shmat(id, NULL, SHM_RDONLY);

	(void)unused;
	return at == (void *)-1 ? errno : 0;
}

static int read_mq(char **unused)
{
	(void)unused;
	return failed(mq_open(VICTIM_MQ, O_RDONLY));
}

const struct attempt network_attempts[] = {
	{ .name = "connect-tcp", .make = connect_tcp },
	{ .name = "send-udp", .make = send_udp },
	{ .name = "connect-abstract", .make = connect_abstract },
	{ .name = "connect-path", .make = connect_path },
	{ .name = "raw-socket", .make = raw_socket },
	{ .name = "sniff", .make = sniff },
	{ .name = "interface-down", .make = interface_down },
	{ .name = "find-interface", .make = find_interface },
	{ .name = "hear-devices", .make = hear_devices },
	{ .name = "read-shm", .make = read_shm },
	{ .name = "read-mq", .make = read_mq },
	{ 0 },
};
