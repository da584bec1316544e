//! Plugins with their types erased, so that the host can hold a list of them.

use crate::config::tree::steps;
use crate::stores::{Provide, Stores};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use toml::Value as Toml;
use vestibule_plugin::{
    Build, BuildError, BuildErrors, Deps, KeyPath, NoRoute, OwnRoute, Plugin, RouteEntry, Routes, Stage,
};

/// A plugin that is on.
pub struct Built {
    /// Its table.
    pub name: &'static str,
    /// Its place in the order.
    pub stage: Stage,
    /// The plugin.
    pub plugin: Arc<dyn Plugin>,
}

/// A plugin that can be configured.
pub struct Entry {
    /// Its table.
    pub name: &'static str,
    /// Its place in the order.
    pub stage: Stage,
    /// Whether it runs when its table is absent.
    pub on_by_default: bool,
    /// Keys that wait for a restart.
    pub restart: &'static [&'static str],
    pub(super) table_schema: fn(&mut SchemaGenerator) -> Schema,
    pub(super) route_schema: fn(&mut SchemaGenerator) -> Option<Schema>,
    pub(super) own_routes: fn(Option<Toml>) -> Vec<OwnRoute>,
    pub(super) assemble: fn(Parts<'_>) -> Assembled,
}

impl Entry {
    /// Of this plugin.
    pub const fn of<P: Build>() -> Self
    where
        Stores: Provide<P::Store>,
    {
        Self {
            name: P::NAME,
            stage: P::STAGE,
            on_by_default: P::ON_BY_DEFAULT,
            restart: P::RESTART,
            table_schema: |generator| generator.subschema_for::<P::Config>(),
            route_schema: |generator| {
                let none = P::Route::schema_id() == NoRoute::schema_id();
                (!none).then(|| generator.subschema_for::<P::Route>())
            },
            own_routes: |table| {
                // A table that cannot be read is told of when the plugin is built.
                let config = table.map_or_else(|| Some(P::Config::default()), |table| table.try_into().ok());
                config.as_ref().map(P::own_routes).unwrap_or_default()
            },
            assemble: assemble::<P>,
        }
    }
}

/// What a plugin is built from. `None` is a key that is absent or was refused.
pub(super) struct Parts<'a> {
    pub(super) table: Option<Toml>,
    pub(super) routes: Vec<RouteEntry<Toml>>,
    pub(super) stores: &'a Stores,
    pub(super) deps: &'a Deps,
    /// `[store] memory_max`.
    pub(super) memory_max: u64,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Assembled {
    /// The plugin, when nothing was wrong.
    pub(super) plugin: Option<Arc<dyn Plugin>>,
    /// Its table with every default, secrets included.
    pub(super) effective: Option<Toml>,
    /// What was wrong.
    pub(super) errors: Vec<BuildError>,
    /// What is probably not meant.
    pub(super) warnings: Vec<BuildError>,
}

fn assemble<P: Build>(parts: Parts<'_>) -> Assembled
where
    Stores: Provide<P::Store>,
{
    let mut assembled = Assembled::default();
    let shown = parts.table.clone();
    let config = match parts.table {
        None => Some(P::Config::default()),
        Some(table) => read(table, KeyPath::Table, &mut assembled.errors),
    };
    let entries = parts.routes.into_iter().map(|RouteEntry { id, name, path, key }| {
        let key = key.and_then(|key| read(key, |path| KeyPath::Route(id, path), &mut assembled.errors));
        RouteEntry { id, name, path, key }
    });
    let routes = Routes::new(entries.collect());
    let Some(config) = config else { return assembled };
    // What was read once is read again.
    let shown = shown.map_or_else(|| Some(P::Config::default()), |table| table.try_into().ok());
    match Toml::try_from(shown.map(P::resolved).as_ref().unwrap_or(&config)) {
        Ok(effective) => assembled.effective = Some(effective),
        Err(error) => assembled.errors.push(BuildError {
            at: KeyPath::Table(Vec::new()),
            message: format!("[{}] cannot be shown", P::NAME),
            label: error.to_string(),
            about: Vec::new(),
        }),
    }
    assembled.errors.extend(P::oversized(&config, parts.memory_max).into_errors());
    assembled.warnings = P::warnings(&config, &routes).into_errors();
    match P::build(config, &routes, parts.stores.provide(), parts.deps) {
        Ok(plugin) => assembled.plugin = Some(Arc::new(plugin)),
        Err(errors) => assembled.errors.extend(BuildErrors::into_errors(errors)),
    }
    assembled
}

fn read<T: DeserializeOwned>(
    value: Toml,
    at: impl FnOnce(Vec<String>) -> KeyPath,
    errors: &mut Vec<BuildError>,
) -> Option<T> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| {
            let path = steps(error.path());
            let message = match path.last() {
                Some(key) => format!("`{key}` cannot be read"),
                None => "this cannot be read".to_owned(),
            };
            let label = error.inner().message().to_owned();
            errors.push(BuildError { at: at(path), message, label, about: Vec::new() });
        })
        .ok()
}
