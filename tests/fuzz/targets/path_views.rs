#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_properties::path_views(data));
