//! What the plugin makes of its tables.
