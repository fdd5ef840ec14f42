//! Who may depend on whom.

use super::graph::{Graph, Member, Use};

/// What a crate is, told by where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Core,
    Engine,
    Snapshotter,
    /// `backends/http` and `backends/oauth`: what the backends that speak HTTP share.
    Http,
    Backend,
    Conformance,
    /// `conformance/…`: real and fake services for the suites.
    Emulator,
    Service,
    Server,
    Cli,
    Example,
    Xtask,
}

use Layer::{Backend, Cli, Conformance, Core, Emulator, Engine, Example, Http, Server, Service, Snapshotter, Xtask};

impl Layer {
    /// The layer of a directory below the root; `None` for one that the rule does not know.
    pub(super) fn of(place: &str) -> Option<Self> {
        let mut parts = place.split('/');
        Some(match (parts.next()?, parts.next()) {
            ("backup-core", None) => Core,
            ("backup-engine", None) => Engine,
            ("snapshotters", Some(_)) => Snapshotter,
            ("backends", Some("http" | "oauth")) => Http,
            ("backends", Some(_)) => Backend,
            ("conformance", None) => Conformance,
            ("conformance", Some(_)) => Emulator,
            ("backup-service", None) => Service,
            ("backup-server", _) => Server,
            ("backup-cli", None) => Cli,
            ("examples", _) => Example,
            ("xtask", None) => Xtask,
            _ => return None,
        })
    }

    /// What it may use in the crate itself.
    fn may_use(self) -> &'static [Self] {
        match self {
            Core => &[],
            Engine | Snapshotter | Conformance => &[Core],
            Http | Backend => &[Core, Http],
            Emulator => &[Core, Conformance, Emulator],
            Service => &[Core, Engine],
            Server => &[Core, Engine, Service, Server],
            Cli => &[Core, Engine, Snapshotter, Http, Backend, Conformance, Service, Server],
            Example => &[Core, Engine, Snapshotter, Http, Backend, Conformance, Service, Server, Cli],
            // It starts the servers that the tests share.
            Xtask => &[Core, Engine, Snapshotter, Http, Backend, Conformance, Emulator, Service, Server, Cli],
        }
    }

    /// What its tests may use besides: the public suites, which know nothing but the contracts. Not core's tests: a core that is
    /// compiled twice has two of each type; the suites test the memory backend from their side.
    fn tests_may_use(self) -> &'static [Self] {
        match self {
            Core => &[],
            Engine | Snapshotter | Http | Backend | Conformance | Emulator | Service | Server | Cli | Example
            | Xtask => &[Conformance, Emulator],
        }
    }
}

/// Crates that speak HTTP, or hold its types. None of them may be compiled for the contracts or the engine: both must build,
/// and be reasoned about, without a network stack.
const HTTP_CRATES: [&str; 15] = [
    "actix-web",
    "axum",
    "curl",
    "h2",
    "h3",
    "http",
    "http-body",
    "hyper",
    "isahc",
    "reqwest",
    "tonic",
    "tower-http",
    "tungstenite",
    "ureq",
    "warp",
];

/// Every breach, each as one sentence, in the order of the members' directories.
pub(super) fn check(graph: &Graph) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in &graph.members {
        let Some(layer) = Layer::of(&member.place) else {
            breaches.push(format!(
                "{} stands in {}, which has no layer: give it one in xtask/src/layers/rules.rs and ARCHITECTURE.md",
                member.name, member.place
            ));
            continue;
        };
        breaches.extend(edges(graph, member, layer));
        if matches!(layer, Core | Engine)
            && let Some(chain) = graph.chain_to(&member.name, |name| HTTP_CRATES.contains(&name))
        {
            breaches.push(format!("{} compiles an HTTP crate: {}", member.name, chain.join(" -> ")));
        }
    }
    breaches
}

fn edges(graph: &Graph, member: &Member, layer: Layer) -> Vec<String> {
    let mut breaches = Vec::new();
    for (kind, target) in &member.uses {
        // A target without a layer is reported where it stands.
        let place = graph.members.iter().find(|other| other.name == *target).map(|other| other.place.as_str());
        let Some(to) = place.and_then(Layer::of) else { continue };
        let (allowed, how) = match kind {
            Use::Normal => (layer.may_use().contains(&to), "uses"),
            Use::Dev => (layer.may_use().contains(&to) || layer.tests_may_use().contains(&to), "uses in its tests"),
        };
        if !allowed {
            breaches
                .push(format!("{} {how} {target}: a crate of layer {layer:?} may not use layer {to:?}", member.name));
        }
    }
    breaches
}
