#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vestibule_properties::csp_report(data));
