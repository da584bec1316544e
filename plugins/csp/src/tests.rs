//! What the plugin makes of its tables, and of its own page.

use super::*;
use serde::Deserialize;
use vestibule_plugin::meter::Registry;
use vestibule_plugin::{ClientAddress, RouteEntry, Secret, StoreTerms, SystemClock};

#[derive(Deserialize)]
struct File {
    csp: Config,
    routes: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    path: String,
    csp: Route,
}

fn deps(routes: &[&str]) -> Deps {
    let names = std::iter::once("unmatched").chain(routes.iter().copied()).map(str::to_owned);
    Deps {
        clock: Arc::new(SystemClock::default()),
        meter: Arc::new(Registry::default()),
        route_names: names.collect(),
        upstreams: Arc::from([]),
        secret: Arc::new(Secret::new([0; 32])),
        store: StoreTerms::default(),
        ipv6_prefix: 64,
        telemetry: Default::default(),
    }
}

#[test]
fn the_example_is_built() {
    let File { csp, routes } = toml::from_str(include_str!("../example.toml")).expect("TOML");
    let entries = routes.into_iter().zip(1..).map(|(entry, id)| {
        let Entry { name, path, csp } = entry;
        RouteEntry { id: RouteId(id), name, path, key: Some(csp) }
    });
    let routes = Routes::new(entries.collect());
    assert!(Csp::warnings(&csp, &routes).is_empty());
    let own: Vec<String> = Csp::own_routes(&csp).into_iter().map(|own| own.path).collect();
    assert_eq!(own, ["/_vestibule/reports"]);
    let deps = deps(&["account", "help", "legacy", REPORTS]);
    let plugin = Csp::build(csp, &routes, None, &deps).unwrap_or_else(|errors| panic!("{errors:?}"));
    let added: Vec<bool> = (0..5).map(|id| plugin.policy(RouteId(id)).is_some()).collect();
    assert_eq!(added, [true, true, true, false, true]);
    assert!(plugin.intake(RouteId(4)).is_some() && plugin.intake(RouteId(0)).is_none());
}

#[test]
fn the_page_shows_every_key_with_its_default() {
    let readme = include_str!("../README.md");
    let block = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of TOML");
    let File { csp, .. } = toml::from_str(block).expect("TOML");
    assert_eq!(csp, Config::default());
    let keys = toml::Table::try_from(Config::default()).expect("a table");
    // The token itself is better not written into a file.
    for key in keys.keys().filter(|key| *key != "sink_token") {
        assert!(block.contains(&format!("\n{key} = ")), "{key}");
    }
}

#[test]
fn without_reports_no_path_is_its_own() {
    assert!(Csp::own_routes(&Config::default()).is_empty());
    let Ok(plugin) = Csp::build(Config::default(), &Routes::new(Vec::new()), None, &deps(&[])) else {
        panic!("defaults are sound")
    };
    assert!(plugin.reports.is_none() && plugin.policy(RouteId(0)).is_none());
}

#[test]
fn a_reload_with_another_rate_goes_on_from_what_was_used() {
    let built = |rate: &str| {
        let config = Config { rate: rate.parse().expect("a rate"), ..Config::default() };
        Csp::build(config, &Routes::new(Vec::new()), None, &deps(&[])).unwrap_or_else(|errors| panic!("{errors:?}"))
    };
    let take = |plugin: &Csp, units| {
        let kept = plugin.kept.get().expect("prepared");
        let sender = ClientAddress::of(std::net::IpAddr::from([203, 0, 113, 7]), 64);
        kept.rates.lock().take(sender, units, plugin.clock.now())
    };
    let (before, after) = (built("100/h"), built("100/d"));
    before.prepare(None).expect("prepared");
    before.on_install(None);
    assert_eq!(take(&before, 60), 60);
    after.prepare(Some(&before)).expect("prepared");
    assert_eq!(take(&before, 20), 20, "it serves until the other one is installed");
    after.on_install(Some(&before));
    assert_eq!(take(&after, 100), 20);
}

#[test]
fn a_table_says_which_of_its_keys_is_wrong() {
    let wrong = |text: &str| toml::from_str::<Entry>(text).err().map(|error| error.message().to_owned());
    let entry = |csp: &str| format!("name = \"a\"\npath = \"/a\"\ncsp = {csp}\n");
    assert_eq!(wrong(&entry("{ policy = \"\", mode = \"off\" }")), None);
    assert_eq!(wrong(&entry("true")), None);
    let told = wrong(&entry("{ polic = \"\" }")).expect("an unknown key");
    assert!(told.contains("polic"), "{told}");
    let told = wrong(&entry("7")).expect("no number");
    assert!(told.contains("a policy, false, or a table with policy and mode"), "{told}");
}
