//! The configuration: every text is a configuration or a list of mistakes.

use vestibule::config::{self, Colour, HostDeps};

/// Folders whose files must not be read for a fuzzer's sake: one may never end, or stop whoever reads it.
const FOREIGN: [&str; 3] = ["/dev", "/proc", "/sys"];
/// What stands for a secret.
const MASK: &str = "***";

/// Holds of a file: it is refused with mistakes that can be shown, or what runs can be printed, and the print runs alike.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if FOREIGN.iter().any(|folder| text.contains(folder)) {
        return;
    }
    let generation = match config::load_text(text, &HostDeps::throwaway()) {
        Ok(generation) => generation,
        Err(mistakes) => {
            assert!(!mistakes.render(Colour::Never).is_empty());
            return;
        }
    };
    assert_eq!(generation.hash.len(), 12);
    // A mask is no secret: it would be refused, or be another one.
    if !generation.effective.contains(MASK) {
        let again = config::load_text(&generation.effective, &HostDeps::throwaway());
        let again = again.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(Colour::Never)));
        assert_eq!(again.effective, generation.effective);
    }
}
