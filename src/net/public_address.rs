//! Which addresses a callback may go to: public ones. Services of our own network (Redis, Postgres, the
//! cloud's metadata service, anything that listens on this host) trust it, and clients must not reach them
//! through us.

use crate::config::AllowPrivate;
use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// Not public, by IANA's special-purpose address registry (RFC 6890 and its successors).
const NON_PUBLIC_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 8),       // this host
    v4(10, 0, 0, 8),      // private
    v4(100, 64, 0, 10),   // behind a carrier's NAT
    v4(127, 0, 0, 8),     // loopback
    v4(169, 254, 0, 16),  // link-local, with the clouds' metadata services
    v4(172, 16, 0, 12),   // private
    v4(192, 0, 0, 24),    // protocols
    v4(192, 0, 2, 24),    // documentation
    v4(192, 88, 99, 24),  // relays of 6to4
    v4(192, 168, 0, 16),  // private
    v4(198, 18, 0, 15),   // benchmarks
    v4(198, 51, 100, 24), // documentation
    v4(203, 0, 113, 24),  // documentation
    v4(224, 0, 0, 4),     // multicast
    v4(240, 0, 0, 4),     // reserved, broadcast
];

/// All global unicast addresses.
const GLOBAL_UNICAST_V6: Ipv6Net = v6(0x2000, 0, 3);

/// The part of it that is not public.
const NON_PUBLIC_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),      // protocols, Teredo among them: embeds an IPv4 address
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4: embeds an IPv4 address
    v6(0x3fff, 0, 20),      // documentation
];

/// Embeds the address of an IPv4 host (RFC 6052): that one is checked.
const NAT64: Ipv6Net = v6(0x0064, 0xff9b, 96);

/// A callback may not go to this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a public address (CALLBACK_ALLOW_PRIVATE)")]
pub struct NotPublic(pub IpAddr);

/// Checks that a callback may go to an address.
///
/// # Errors
/// Names the address, if not.
pub fn check_public(address: IpAddr, allowed: &AllowPrivate) -> Result<(), NotPublic> {
    let is_allowed = is_public(address)
        || match allowed {
            AllowPrivate::No => false,
            AllowPrivate::All => true,
            AllowPrivate::Networks(networks) => {
                networks.iter().any(|network| network.contains(&address.to_canonical()))
            }
        };
    if is_allowed { Ok(()) } else { Err(NotPublic(address)) }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !NON_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            is_public(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(address) => {
            GLOBAL_UNICAST_V6.contains(&address)
                && !NON_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn public(text: &str) -> bool {
        check_public(text.parse().unwrap(), &AllowPrivate::No).is_ok()
    }

    #[test]
    fn accepts_public_addresses() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00::1",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn refuses_other_addresses_in_any_notation() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:101:101::",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn accepts_networks_that_are_listed() {
        let allowed =
            AllowPrivate::Networks(vec!["10.1.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let ok = |text: &str| check_public(text.parse().unwrap(), &allowed).is_ok();
        assert!(ok("10.1.2.3") && ok("fd00::1") && ok("1.1.1.1") && ok("::ffff:10.1.2.3"));
        assert!(!ok("10.2.0.1") && !ok("127.0.0.1") && !ok("fc00::1") && !ok("64:ff9b::10.2.0.1"));
        assert!(check_public("127.0.0.1".parse().unwrap(), &AllowPrivate::All).is_ok());
    }

    proptest! {
        /// The standard library's classification as a second opinion.
        #[test]
        fn no_private_ipv4_address_is_public(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let closed = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_documentation()
                || address.is_unspecified();
            let public = is_public(address.into());
            prop_assert!(!(closed && public), "{}", address);
            prop_assert_eq!(is_public(address.to_ipv6_mapped().into()), public);
            let [a, b, c, d] = address.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            prop_assert_eq!(is_public(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into()), public);
            for embedding in [Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1), Ipv6Addr::from(u128::from(bits))] {
                prop_assert!(!is_public(embedding.into()), "{}", embedding);
            }
        }

        #[test]
        fn no_local_ipv6_address_is_public(bits: u128) {
            let address = Ipv6Addr::from(bits);
            let closed = address.is_unique_local() || address.is_unicast_link_local() || address.is_multicast()
                || address.is_loopback() || address.is_unspecified();
            prop_assert!(!(closed && is_public(address.into())), "{}", address);
        }
    }
}
