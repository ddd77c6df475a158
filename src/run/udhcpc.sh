#!/bin/sh
# What udhcpc calls when a lease comes, changes or ends: $1 is the event, the lease is in the environment.
# The default route gets a high metric, so that an interface of ring3's never takes the machine's own route.
case "$1" in
deconfig)
	ip -4 address flush dev "$interface"
	;;
bound | renew)
	ip -4 address replace "$ip/$mask" dev "$interface" valid_lft "$lease" preferred_lft "$lease"
	for gateway in $router; do
		ip -4 route replace default via "$gateway" dev "$interface" metric 4096
		break
	done
	;;
esac
