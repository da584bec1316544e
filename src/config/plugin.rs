//! Plugins with their types erased, so that the host can hold a list of them.

use crate::stores::{Provide, Stores};
use std::marker::PhantomData;
use std::sync::Arc;
use vestibule_plugin::{Build, Plugin, Stage};

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
}

impl Entry {
    /// Of this plugin.
    pub const fn of<P: Build>() -> Self
    where
        Stores: Provide<P::Store>,
    {
        let _ = PhantomData::<P>;
        Self { name: P::NAME, stage: P::STAGE }
    }
}
