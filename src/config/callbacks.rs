//! Callbacks to clients.

use super::{Env, listen::seconds};
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::Duration;

/// CALLBACK_ALLOW_PRIVATE: whether callbacks may go to addresses that are not public.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowPrivate {
    /// To none: clients choose where callbacks go, and must not reach what stands behind us.
    #[default]
    No,
    /// To all.
    All,
    /// To those in these networks.
    Networks(Vec<IpNet>),
}

/// See the fields.
#[derive(Debug, Clone)]
pub struct CallbacksConfig {
    /// CALLBACK_ALLOW_PRIVATE.
    pub allow_private: AllowPrivate,
    /// CALLBACK_TIMEOUT: from connecting to the answer.
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
            timeout: seconds(
                env,
                "CALLBACK_TIMEOUT",
                10.0,
                "how long to wait for the receiver of a callback, seconds",
            ),
        }
    }
}

fn allow_private(text: &str) -> Result<AllowPrivate, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => return Ok(AllowPrivate::All),
        "false" | "0" | "no" | "off" => return Ok(AllowPrivate::No),
        _ => {}
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
    fn it_is_a_flag_or_a_list_of_networks() {
        assert_eq!(allow_private("TRUE"), Ok(AllowPrivate::All));
        assert_eq!(allow_private("off"), Ok(AllowPrivate::No));
        let networks = ["10.1.0.0/16", "192.168.1.9/32", "fd00::/8"].map(|n| n.parse().unwrap()).to_vec();
        assert_eq!(allow_private("10.1.0.0/16, 192.168.1.9,fd00::/8"), Ok(AllowPrivate::Networks(networks)));
        for bad in ["maybe", "10.0.0.0/33", "10.0.0.0/8;fd00::/8", "localhost"] {
            assert!(allow_private(bad).is_err(), "{bad}");
        }
    }
}
