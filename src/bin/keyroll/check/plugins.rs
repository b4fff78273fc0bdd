//! Whether the server's option files load keyroll, and no other encryption plugin.

use keyroll::settings::ServerOption;

use super::report::Report;

/// The plugin's name, and its library's without `.so`.
const KEYROLL: &str = "keyroll";

/// What the names of the server's own encryption plugins end with.
const OF_OTHERS: &str = "_key_management";

/// Tells which encryption plugins the options load.
pub(super) fn check(options: &[ServerOption], report: &mut Report) {
    let loaded = loaded(options);
    match loaded.iter().any(|name| name == KEYROLL) {
        true => report.ok("the option files load the plugin".into()),
        false => report.warning(
            "no option file loads the plugin".into(),
            "write plugin_load_add = keyroll into the group [mariadb]: a plugin that is loaded by INSTALL SONAME comes too late \
             for InnoDB"
                .into(),
        ),
    }
    for other in loaded.iter().filter(|name| name.ends_with(OF_OTHERS)) {
        report.warning(
            format!("the option files load another encryption plugin: {other}"),
            "remove its line: a server takes one encryption plugin, and which one changes with the other plugins that are \
             loaded; the rest fail with \"registration as a ENCRYPTION failed\""
                .into(),
        );
    }
}

/// The plugins that the options load, as they or their libraries are called, without those that are
/// switched off.
fn loaded(options: &[ServerOption]) -> Vec<String> {
    let meant = || options.iter().filter_map(ServerOption::meaning);
    let mut loaded: Vec<String> = Vec::new();
    for (name, value) in meant() {
        // The latter goes without what was loaded before it.
        match name.as_str() {
            "plugin_load_add" => {}
            "plugin_load" => loaded.clear(),
            _ => continue,
        }
        let list = String::from_utf8_lossy(value.bytes()).into_owned();
        // NAME=LIBRARY, or LIBRARY alone.
        loaded.extend(
            list.split(';')
                .filter(|entry| !entry.trim().is_empty())
                .map(|entry| {
                    let plugin = entry.split('=').next().unwrap_or_default().trim();
                    plugin.strip_suffix(".so").unwrap_or(plugin).to_ascii_lowercase()
                }),
        );
    }
    loaded.dedup();
    loaded.retain(|plugin| {
        let switch = meant().rfind(|(name, _)| name == plugin);
        switch.is_none_or(|(_, value)| value.flag() || is_forced(value.bytes()))
    });
    loaded
}

/// Whether the server does not start without the plugin.
fn is_forced(value: &[u8]) -> bool {
    value.to_ascii_lowercase().starts_with(b"force")
}

#[cfg(test)]
mod tests {
    use keyroll::secret::SecretBytes;

    use super::*;

    fn loaded_by(lines: &[&str]) -> Vec<String> {
        let option = |line: &&str| {
            let (name, value) = line
                .split_once('=')
                .map_or((*line, None), |(name, value)| (name, Some(value)));
            ServerOption {
                name: name.into(),
                value: value.map(|value| SecretBytes::new(value.into())),
            }
        };
        loaded(&lines.iter().map(option).collect::<Vec<_>>())
    }

    #[test]
    fn plugins_are_loaded_by_their_libraries_names_or_both() {
        for line in [
            "plugin_load_add=keyroll",
            "plugin-load-add=keyroll.so",
            "loose-plugin_load_add=keyroll=keyroll.so",
            "plugin-load=keyroll",
        ] {
            assert_eq!(loaded_by(&[line]), [KEYROLL], "{line}");
        }
        assert_eq!(
            loaded_by(&["plugin_load_add=file_key_management.so;keyroll"]),
            ["file_key_management", KEYROLL]
        );
        assert!(loaded_by(&["plugin_load_add=", "keyroll_filename=/keys"]).is_empty());
    }

    #[test]
    fn plugin_load_forgets_what_was_loaded_before_it() {
        assert_eq!(
            loaded_by(&["plugin_load_add=keyroll", "plugin_load=auth_ed25519"]),
            ["auth_ed25519"]
        );
        assert_eq!(
            loaded_by(&["plugin_load=auth_ed25519", "plugin_load_add=keyroll"]).last(),
            Some(&KEYROLL.to_owned())
        );
    }

    #[test]
    fn a_plugin_that_is_switched_off_is_not_loaded() {
        for line in ["keyroll=OFF", "skip-keyroll", "loose-keyroll=0"] {
            assert!(loaded_by(&["plugin_load_add=keyroll", line]).is_empty(), "{line}");
        }
        for line in ["keyroll=ON", "keyroll", "keyroll=FORCE_PLUS_PERMANENT"] {
            assert_eq!(loaded_by(&["plugin_load_add=keyroll", line]), [KEYROLL], "{line}");
        }
    }
}
