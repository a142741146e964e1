//! What `sl` makes of the settings and tasks of Scalelite.

use crate::support::{Pool, ROOT, eventually};
use serde_json::Value;

/// NAME, STATUS and VALUE of each variable.
fn variables() -> Vec<[&'static str; 3]> {
    let lines = include_str!("scalelite_variables.txt").lines().filter(|line| !line.starts_with('#'));
    let fields = |line: &'static str| line.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    lines.map(fields).collect()
}

/// What `sl config --json` says of each setting, whether or not all are valid.
fn config(pool: &Pool) -> Vec<Value> {
    let output = pool.sl(&["config", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON, but: {errors}"))
}

fn status(settings: &[Value], name: &str) -> Option<String> {
    let setting = settings.iter().find(|setting| setting["name"] == name)?;
    Some(setting["status"].as_str().unwrap().replace(' ', "-"))
}

#[test]
fn config_says_of_every_variable_of_scalelite_whether_it_is_used() {
    let mut pool = Pool::empty(1, &[]);
    for [name, _, value] in variables() {
        pool.set(name, value);
    }
    let settings = config(&pool);
    let wrong: Vec<_> = variables()
        .into_iter()
        .map(|[name, expected, _]| (name, expected, status(&settings, name)))
        .filter(|(_, expected, found)| found.as_deref() != Some(*expected))
        .collect();
    assert!(wrong.is_empty(), "(name, expected, found): {wrong:#?}");
    let text = pool.sl(&["config"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn variable_that_changes_what_scalelite_does_stops_start_until_it_works_here() {
    for [name, _, value] in variables().into_iter().filter(|[_, status, _]| *status == "refused") {
        let pool = Pool::empty(1, &[(name, value)]);
        let line = pool.sl_fails(&["serve"]);
        assert!(line.starts_with(&format!("sl: {name} ")) && line.contains("unset it"), "{line}");
        assert!(!line.contains("hush"), "{line}");
    }
    // Values that mean "off", or Scalelite's own defaults.
    let mut pool = Pool::empty(
        1,
        &[
            ("MULTITENANCY_ENABLED", "false"),
            ("FSAPI_PASSWORD", ""),
            ("FSAPI_MAX_DURATION", "0"),
            ("VOICE_BRIDGE_MIN", "5"),
            ("VOICE_BRIDGE_MAX", "9"),
            ("DEFAULT_LOCALE", "en"),
            ("REDIS_SENTINELS", " "),
        ],
    );
    pool.serve(&["--no-poller"]);
}

#[test]
fn documentation_lists_every_variable_of_scalelite_by_its_status() {
    let text = std::fs::read_to_string(format!("{ROOT}/docs/configuration.md")).unwrap();
    let sections: Vec<_> = text.split("\n## ").collect();
    for [name, status, _] in variables() {
        let title = match status {
            "used" => "Used",
            "refused" => "Refused",
            _ => "Without effect",
        };
        for section in &sections[1..] {
            let is_listed = section.contains(&format!("`{name}`"));
            assert_eq!(is_listed, section.starts_with(title), "{name} in {:?}", section.lines().next());
        }
    }
}

#[test]
fn settings_without_effect_are_named_in_one_notice() {
    let unused = variables().into_iter().filter(|[_, status, _]| *status == "no-effect");
    let unused: Vec<_> = unused.map(|[name, _, value]| (name, value)).collect();
    let mut pool = Pool::empty(1, &unused);
    let n = pool.serve(&["--no-poller"]);
    eventually("it listens", || pool.replicas[n].log().contains("listening at"));
    let log = pool.replicas[n].log();
    let notices: Vec<_> = log.lines().filter(|line| line.contains("settings without effect")).collect();
    assert_eq!(notices.len(), 1, "{log}");
    for (name, _) in unused {
        assert!(notices[0].contains(name), "{name}: {}", notices[0]);
    }
    assert!(!log.contains("hush"), "{log}");
}

/// Scalelite's tasks: those of its manual, with the arguments removed.
const TASKS: &[&str] = &[
    "servers",
    "servers:add",
    "servers:update",
    "servers:loadMultiplier",
    "servers:tag",
    "servers:enable",
    "servers:cordon",
    "servers:disable",
    "servers:remove",
    "servers:panic",
    "servers:sync",
    "servers:yaml",
    "servers:addAll",
    "servers:meeting_list",
    "meetings:list",
    "meetings:end",
    "meetings:info",
    "status",
    "poll:all",
    "db:setup",
    "db:migrate",
    "recordings:watch",
    "recordings:update",
];

#[test]
fn readme_names_every_task_of_scalelite_and_no_others() {
    let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `rake ")).collect::<Vec<_>>();
    let pool = Pool::empty(1, &[]);
    let mut named = Vec::new();
    for row in rows {
        let (tasks, commands) = row.split_once(" | ").unwrap();
        let mut group = String::new();
        for task in tasks.trim_end_matches('`').split("`, `") {
            let task = task.trim_start_matches("rake ");
            let task = task.split('[').next().unwrap();
            let task = if task.starts_with(':') { format!("{group}{task}") } else { task.to_owned() };
            group = task.split(':').next().unwrap().to_owned();
            named.push(task);
        }
        for command in commands.split('`').filter_map(|part| part.strip_prefix("sl ")) {
            // Words before the first argument or option: a command that `sl` has.
            let words =
                command.split(' ').take_while(|w| w.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            let mut words: Vec<_> = words.take_while(|w| !w.starts_with('-')).collect();
            words.push("--help");
            pool.sl_ok(&words);
        }
    }
    let unknown: Vec<_> = named.iter().filter(|task| !TASKS.contains(&task.as_str())).collect();
    assert!(unknown.is_empty(), "Scalelite has no task {unknown:?}");
    let missing: Vec<_> = TASKS.iter().filter(|task| !named.iter().any(|name| name == *task)).collect();
    assert!(missing.is_empty(), "README does not name {missing:?}");
}
