//! Keys marked (restart): a reload keeps those that the process started with, whatever its file says.

use crate::config::Generation;
use crate::config::settings::Settings;
use crate::registry::PLUGINS;
use toml::Table;

/// What the process started with.
pub struct Started {
    settings: Settings,
    /// The effective configuration of the start.
    shown: Table,
}

impl Started {
    /// With this configuration.
    pub fn new(generation: &Generation) -> Self {
        // The effective configuration always parses again.
        Self { settings: generation.settings.clone(), shown: generation.effective.parse().unwrap_or_default() }
    }

    /// Puts the keys of the start back in force, also where they are shown; names those that the file has otherwise,
    /// so that they wait for a restart.
    pub fn hold(&self, generation: &mut Generation) -> Vec<&'static str> {
        let mut shown: Table = generation.effective.parse().unwrap_or_default();
        let mut pending = self.pending(&generation.settings);
        pending.extend(self.pending_of_plugins(&shown));
        if pending.is_empty() {
            return pending;
        }
        let Settings { server, upstream, routes, .. } = &mut generation.settings;
        let started = &self.settings.server;
        server.listen.clone_from(&started.listen);
        server.admin = started.admin;
        server.tls.clone_from(&started.tls);
        server.workers = started.workers;
        for upstream in routes.iter_mut().filter_map(|route| route.upstream.as_mut()).chain([upstream]) {
            upstream.idle_connections = self.settings.upstream.idle_connections;
        }
        for (table, key) in pending.iter().filter_map(|path| path.split_once('.')) {
            let held = self.shown.get(table).and_then(|table| table.get(key));
            if let (Some(held), Some(table)) = (held, shown.get_mut(table).and_then(toml::Value::as_table_mut)) {
                table.insert(key.to_owned(), held.clone());
            }
        }
        generation.effective = toml::to_string(&shown).unwrap_or_default();
        pending
    }

    /// Those of plugins that are on before and after; each sees to it that its own stay in force.
    fn pending_of_plugins(&self, new: &Table) -> impl Iterator<Item = &'static str> {
        let differs = |path: &&str| {
            let Some((table, key)) = path.split_once('.') else { return false };
            let [before, after] = [&self.shown, new].map(|shown| shown.get(table).and_then(|table| table.get(key)));
            before.is_some() && after.is_some() && before != after
        };
        PLUGINS.iter().flat_map(|entry| entry.restart).copied().filter(differs)
    }

    fn pending(&self, new: &Settings) -> Vec<&'static str> {
        let (a, b) = (&self.settings.server, &new.server);
        [
            ("server.listen", a.listen != b.listen),
            ("server.admin", a.admin != b.admin),
            ("server.tls", a.tls != b.tls),
            ("server.workers", a.workers != b.workers),
            ("upstream.idle_connections", self.settings.upstream.idle_connections != new.upstream.idle_connections),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}
