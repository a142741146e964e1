//! Callbacks to clients.

use super::Env;
use super::env::parse_flag;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// CALLBACK_ALLOW_PRIVATE: which addresses that are not public callbacks may go to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowPrivate {
    /// None: clients choose the URLs, and must not reach services of our own network.
    #[default]
    No,
    /// All.
    All,
    /// Those in these networks.
    Networks(Vec<IpNet>),
}

/// Settings of callbacks to clients.
#[derive(Debug, Clone)]
pub struct CallbacksConfig {
    /// CALLBACK_ALLOW_PRIVATE.
    pub allow_private: AllowPrivate,
    /// CALLBACK_TIMEOUT.
    pub timeout: Duration,
}

impl CallbacksConfig {
    pub(super) fn from_env(env: &mut Env<'_>) -> CallbacksConfig {
        CallbacksConfig {
            allow_private: env
                .parsed(
                    "CALLBACK_ALLOW_PRIVATE",
                    "false",
                    allow_private,
                    "whether callbacks may go to addresses that are not public: true, false, or networks",
                )
                .unwrap_or_default(),
            timeout: env.seconds(
                "CALLBACK_TIMEOUT",
                10.0,
                "time limit for the receiver of a callback, from connecting to its response, seconds",
            ),
        }
    }
}

fn allow_private(text: &str) -> Result<AllowPrivate, String> {
    match parse_flag(text) {
        Some(true) => return Ok(AllowPrivate::All),
        Some(false) => return Ok(AllowPrivate::No),
        None => {}
    }
    let network = |text: &str| match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => text.parse().ok(),
    };
    let networks: Option<Vec<IpNet>> =
        text.split([',', ' ']).filter(|part| !part.is_empty()).map(network).collect();
    networks
        .map(AllowPrivate::Networks)
        .ok_or_else(|| "must be true, false, or networks separated by commas: 10.1.0.0/16,fd00::/8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_private_is_a_flag_or_a_list_of_networks() {
        assert_eq!(allow_private("TRUE"), Ok(AllowPrivate::All));
        assert_eq!(allow_private("off"), Ok(AllowPrivate::No));
        let networks = ["10.1.0.0/16", "192.168.1.9/32", "fd00::/8"].map(|n| n.parse().unwrap()).to_vec();
        assert_eq!(allow_private("10.1.0.0/16, 192.168.1.9,fd00::/8"), Ok(AllowPrivate::Networks(networks)));
        for bad in ["maybe", "yes", "10.0.0.0/33", "10.0.0.0/8;fd00::/8", "localhost"] {
            assert!(allow_private(bad).is_err(), "{bad}");
        }
    }
}
