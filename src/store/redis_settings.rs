//! Settings of Redis that endanger the state: an operator must know of them.

use super::connection::{Store, StoreResult};
use std::collections::BTreeMap;

/// What Redis does with our data when its memory is full, and when it restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedisSettings {
    /// The policy by which keys are evicted once maxmemory is reached. None if none ever is.
    pub evicts: Option<String>,
    /// Whether data survive a restart. None if Redis does not say: managed ones refuse CONFIG.
    pub is_persistent: Option<bool>,
}

impl Store {
    /// Reads the settings of Redis.
    pub async fn redis_settings(&self) -> StoreResult<RedisSettings> {
        let memory: String = self.command(redis::cmd("INFO").arg("memory")).await?;
        let persistence: String = self.command(redis::cmd("INFO").arg("persistence")).await?;
        let save: Option<String> = match self.command(redis::cmd("CONFIG").arg("GET").arg("save")).await {
            Ok(found) => BTreeMap::<String, String>::remove(&mut { found }, "save"),
            Err(_) => None,
        };
        Ok(RedisSettings::read(&memory, &persistence, save.as_deref()))
    }
}

impl RedisSettings {
    /// From two sections of INFO, and the setting `save` where CONFIG may be read.
    fn read(memory: &str, persistence: &str, save: Option<&str>) -> RedisSettings {
        let field = |section: &str, name: &str| {
            let mut lines = section.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
        };
        let has_limit = field(memory, "maxmemory").is_some_and(|bytes| bytes != "0");
        let policy = field(memory, "maxmemory_policy").filter(|policy| policy != "noeviction");
        let appends = field(persistence, "aof_enabled").map(|enabled| enabled == "1");
        let is_persistent = match (appends, save) {
            (Some(true), _) => Some(true),
            (Some(false), Some(save)) => Some(!save.trim().is_empty()),
            (Some(false), None) | (None, _) => None,
        };
        RedisSettings { evicts: policy.filter(|_| has_limit), is_persistent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_unknown_ones_are_not_guessed() {
        let read = |memory: &str, persistence: &str, save| {
            let settings = RedisSettings::read(memory, persistence, save);
            (settings.evicts, settings.is_persistent)
        };
        let evicting = "# Memory\r\nmaxmemory:1000\r\nmaxmemory_policy:volatile-lru\r\n";
        let unlimited = "maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n";
        let strict = "maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(read(evicting, "aof_enabled:0\r\n", Some("")), (Some("volatile-lru".into()), Some(false)));
        assert_eq!(read(unlimited, "aof_enabled:0\r\n", Some("3600 1")), (None, Some(true)));
        assert_eq!(read(strict, "aof_enabled:1\r\n", Some("")), (None, Some(true)));
        assert_eq!(read(strict, "aof_enabled:0\r\n", None), (None, None));
        assert_eq!(read("", "", Some("")), (None, None));
    }
}
