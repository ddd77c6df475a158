// SPDX-License-Identifier: MIT
/* Frames: sent through the interface under attack, and onto the wire that its card is on. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

#define OURS	"10.66.0.1"
#define THEIRS	"10.66.0.2"
#define ETHERNET 14
#define IP_HEADER 20

static int packet_socket(const char *interface, int protocol, bool offload)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol),
		.sll_ifindex = (int)if_nametoindex(interface),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			htons((uint16_t)protocol));
	int on = 1;

	if (fd < 0 || (offload && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on))) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -1;
	return fd;
}

/* Ethernet and IPv4 headers; returns what they take. */
static size_t headers(uint8_t *frame, size_t length, uint8_t protocol, bool to_us)
{
	static const uint8_t us[] = { 2, 0, 0, 0, 0, 1 }, them[] = { 2, 0, 0, 0, 0, 2 };
	struct iphdr ip = {
		.version = 4, .ihl = 5, .ttl = 64, .protocol = protocol,
		.tot_len = htons((uint16_t)(length - ETHERNET)),
		.saddr = inet_addr(to_us ? THEIRS : OURS),
		.daddr = inet_addr(to_us ? OURS : THEIRS),
	};
	uint32_t sum = 0;
	uint16_t words[10];
	size_t i;

	memcpy(words, &ip, sizeof(words));
	for (i = 0; i < COUNT(words); i++)
		sum += words[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	ip.check = (uint16_t)~sum;
	memcpy(frame, to_us ? us : them, 6);
	memcpy(frame + 6, to_us ? them : us, 6);
	frame[12] = ETHERTYPE_IP >> 8;
	frame[13] = ETHERTYPE_IP & 0xff;
	memcpy(frame + ETHERNET, &ip, sizeof(ip));
	return ETHERNET + sizeof(ip);
}

/* A TCP segment for the card to cut up. */
static void send_large(int fd, struct random *random)
{
	static uint8_t room[sizeof(struct virtio_net_hdr) + 65000];
	size_t length = 3000 + random_below(random, 60000);
	struct virtio_net_hdr offload = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = ETHERNET + IP_HEADER + sizeof(struct tcphdr),
		.gso_size = (uint16_t)(500 + random_below(random, 960)),
		.csum_start = ETHERNET + IP_HEADER, .csum_offset = offsetof(struct tcphdr, check),
	};
	struct tcphdr tcp = { .source = htons(9), .dest = htons(9), .doff = 5, .ack = 1 };
	size_t at;

	memcpy(room, &offload, sizeof(offload));
	at = sizeof(offload) + headers(room + sizeof(offload), length, IPPROTO_TCP, false);
	memcpy(room + at, &tcp, sizeof(tcp));
	(void)!write(fd, room, sizeof(offload) + length);
}

void traffic_use(const char *interface, uint64_t seed)
{
	static uint8_t payload[9000];
	struct sockaddr_in ours = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = INADDR_ANY,
	};
	struct sockaddr_in theirs = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr(THEIRS),
	};
	struct random random = { seed };
	int raw = packet_socket(interface, ETH_P_ALL, true);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int much = 4 << 20;
	uint32_t i;

	bind(udp, (struct sockaddr *)&ours, sizeof(ours));
	/* What is not read holds on to the pages that it came in. */
	setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &much, sizeof(much));
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &much, sizeof(much));
	for (;;) {
		for (i = random_below(&random, 12); i > 0; i--)
			sendto(udp, payload,
			       random_below(&random,
					    random_chance(&random, 4) ? sizeof(payload) : 1473),
			       0, (struct sockaddr *)&theirs, sizeof(theirs));
		if (random_chance(&random, 3))
			send_large(raw, &random);
		if (random_chance(&random, 30))
			for (i = 0; i < 2000 && (read(raw, payload, sizeof(payload)) > 0 ||
						 read(udp, payload, sizeof(payload)) > 0); i++)
				;
		usleep(1000 + random_below(&random, 2000));
	}
}

int traffic_flood(const char *interface)
{
	int fd = packet_socket(interface, 0, false);
	uint8_t frame[1514] = { 0 };
	uint32_t turn;

	if (fd < 0) {
		fprintf(stderr, "ring3-fuzz: cannot send through %s: %s\n", interface,
			strerror(errno));
		return 1;
	}
	for (turn = 0;; turn++) {
		size_t length = 60 + turn * 97 % (sizeof(frame) - 60);
		size_t at = headers(frame, length, IPPROTO_UDP, true);
		struct udphdr udp = {
			.source = htons(9), .dest = htons(9), .len = htons((uint16_t)(length - at)),
		};

		memcpy(frame + at, &udp, sizeof(udp));
		(void)!write(fd, frame, length);
		if (turn % 4 == 0)
			usleep(2000);
	}
}
