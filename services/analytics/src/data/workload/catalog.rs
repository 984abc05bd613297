//! Who asks which model: models with their sizes and speeds, keys with their
//! applications, teams, clients and favourite models.

use modash_proto::v1::Operation;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rand_distr::{Distribution as _, weighted::WeightedAliasIndex};

use super::WorkloadConfig;

/// How much more often the first is chosen than the n-th: n to this power.
const SKEW: f64 = 1.1;

/// Models that one key uses.
const FAVOURITES: usize = 6;

/// A kind of model.
#[derive(Debug)]
pub(super) struct Kind {
    name: &'static str,
    pub(super) upstream: &'static str,
    pub(super) dialect: &'static str,
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    /// Share of streams.
    pub(super) streams: f64,
    /// Median prompt and output tokens.
    pub(super) tokens: (f64, f64),
    /// Median prefill and decode rates in tokens per second.
    pub(super) speed: (f64, f64),
    /// Share of a prompt that comes from a cache, where it does.
    pub(super) cached: f64,
    /// Share of the output that is reasoning.
    pub(super) reasoning: f64,
}

const CHAT: Kind = Kind {
    name: "",
    upstream: "local",
    dialect: "openai-chat",
    path: "/v1/chat/completions",
    operation: Operation::Chat,
    streams: 0.75,
    tokens: (900.0, 240.0),
    speed: (4_000.0, 60.0),
    cached: 0.3,
    reasoning: 0.0,
};

const OPENAI: Kind = Kind { upstream: "openai", cached: 0.5, ..CHAT };

const RESPONSES: Kind = Kind {
    dialect: "openai-responses",
    path: "/v1/responses",
    tokens: (2_400.0, 600.0),
    speed: (9_000.0, 90.0),
    reasoning: 0.5,
    ..OPENAI
};

const CLAUDE: Kind = Kind {
    upstream: "anthropic",
    dialect: "anthropic-messages",
    path: "/v1/messages",
    streams: 0.9,
    tokens: (12_000.0, 420.0),
    speed: (14_000.0, 72.0),
    cached: 0.85,
    ..CHAT
};

const EMBEDDING: Kind = Kind {
    dialect: "openai-embeddings",
    path: "/v1/embeddings",
    operation: Operation::Embedding,
    streams: 0.0,
    tokens: (500.0, 0.0),
    speed: (30_000.0, 0.0),
    cached: 0.0,
    ..CHAT
};

/// The most used first; more models than these are further versions of them.
const KINDS: [Kind; 20] = [
    Kind { name: "claude-sonnet-4-5", ..CLAUDE },
    Kind { name: "gpt-4.1-mini", tokens: (1_300.0, 180.0), speed: (9_000.0, 110.0), ..OPENAI },
    Kind { name: "qwen3-8b", ..CHAT },
    Kind { name: "text-embedding-3-small", upstream: "openai", ..EMBEDDING },
    Kind { name: "gpt-5", ..RESPONSES },
    Kind { name: "gpt-oss-20b", tokens: (2_400.0, 420.0), speed: (2_600.0, 48.0), ..CHAT },
    Kind { name: "claude-haiku-4-5", tokens: (5_000.0, 300.0), speed: (20_000.0, 140.0), ..CLAUDE },
    Kind { name: "llama-3.3-70b", streams: 0.4, speed: (1_500.0, 21.0), ..CHAT },
    Kind { name: "nomic-embed-text", ..EMBEDDING },
    Kind { name: "gpt-5-mini", speed: (14_000.0, 130.0), ..RESPONSES },
    Kind { name: "mistral-small-3.2", ..CHAT },
    Kind { name: "claude-opus-4-5", tokens: (18_000.0, 700.0), speed: (8_000.0, 45.0), ..CLAUDE },
    Kind { name: "gemma-3-12b", ..CHAT },
    Kind { name: "deepseek-v3.2", tokens: (3_000.0, 900.0), reasoning: 0.6, ..CHAT },
    Kind { name: "o4-mini", reasoning: 0.7, ..RESPONSES },
    Kind { name: "qwen3-coder-30b", tokens: (8_000.0, 350.0), cached: 0.7, ..CHAT },
    Kind { name: "phi-4", ..CHAT },
    Kind { name: "gpt-4.1", tokens: (1_800.0, 260.0), speed: (6_000.0, 80.0), ..OPENAI },
    Kind { name: "llama-3.2-3b", speed: (9_000.0, 140.0), ..CHAT },
    Kind { name: "glm-4.6", tokens: (6_000.0, 500.0), ..CHAT },
];

const APPLICATIONS: [(&str, &str); 10] = [
    ("support-bot", "openai-python"),
    ("coding", "claude-cli"),
    ("search", "openai-node"),
    ("code-review", "openai-python"),
    ("reports", "langchain"),
    ("translation", "openai-go"),
    ("data-labels", "python-httpx"),
    ("meeting-notes", "openai-node"),
    ("playground", "open-webui"),
    ("batch", "curl"),
];

const TEAMS: [&str; 6] = ["research", "platform", "sales", "support", "finance", "legal"];

/// A model.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) kind: &'static Kind,
    /// The only user, if all models are used equally often.
    pub(super) user: Option<String>,
}

/// A credential and who uses it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) fingerprint: String,
    pub(super) application: &'static str,
    pub(super) team: &'static str,
    pub(super) client: &'static str,
    /// End users that its requests name; mostly none.
    pub(super) users: Vec<String>,
    /// Whether its requests name their sessions and traces.
    pub(super) sessions: bool,
    models: Vec<usize>,
    choice: WeightedAliasIndex<f64>,
}

/// Models and keys, the most used first.
#[derive(Debug)]
pub(super) struct Catalog {
    models: Vec<Model>,
    keys: Vec<Key>,
    choice: WeightedAliasIndex<f64>,
    uniform: bool,
}

/// What is special about an hour.
#[derive(Debug)]
pub(super) struct Mood {
    /// Whose upstream fails often.
    pub(super) troubled: Option<&'static str>,
    /// How slow everything is: 1 is as always.
    pub(super) slowness: f64,
}

impl Catalog {
    pub(super) fn new(config: &WorkloadConfig) -> Self {
        let mut random = StdRng::seed_from_u64(!config.seed);
        let uniform = config.uniform_models > 0;
        let count = if uniform { config.uniform_models } else { config.models.max(1) };
        let models: Vec<Model> = (0..count as usize)
            .map(|at| {
                let user = uniform.then(|| format!("user-{at:06}"));
                Model { user, ..model(at) }
            })
            .collect();
        let popularity = zipf(models.len());
        let keys: Vec<Key> =
            (0..config.keys.max(1)).map(|_| key(models.len(), &popularity, &mut random)).collect();
        Self { models, choice: zipf(keys.len()), keys, uniform }
    }

    /// Who asks, and which model.
    pub(super) fn choose(&self, random: &mut StdRng) -> (&Key, &Model) {
        let key = &self.keys[self.choice.sample(random)];
        if self.uniform {
            return (key, &self.models[random.random_range(0..self.models.len())]);
        }
        (key, &self.models[key.models[key.choice.sample(random)]])
    }

    /// What an hour is like: one in fifty has trouble with an upstream.
    pub(super) fn mood(&self, random: &mut StdRng) -> Mood {
        let troubled = random.random_bool(0.02);
        let kind = self.models[random.random_range(0..self.models.len())].kind;
        Mood {
            troubled: troubled.then_some(kind.upstream),
            slowness: random.random_range(0.85..1.25),
        }
    }
}

fn model(at: usize) -> Model {
    let kind = &KINDS[at % KINDS.len()];
    let name = match at / KINDS.len() {
        0 => kind.name.to_owned(),
        version => format!("{}-v{}", kind.name, version + 1),
    };
    Model { name, kind, user: None }
}

fn key(models: usize, popularity: &WeightedAliasIndex<f64>, random: &mut StdRng) -> Key {
    let (application, client) = APPLICATIONS[random.random_range(0..APPLICATIONS.len())];
    let mut favourites: Vec<usize> = Vec::new();
    while favourites.len() < FAVOURITES.min(models) {
        let model = popularity.sample(random);
        if !favourites.contains(&model) {
            favourites.push(model);
        }
    }
    let users = if random.random_bool(0.08) { random.random_range(4..12) } else { 0 };
    Key {
        fingerprint: format!("{:016x}", random.random::<u64>()),
        application,
        team: TEAMS[random.random_range(0..TEAMS.len())],
        client,
        users: (0..users).map(|_| format!("user-{:05}", random.random_range(0..100_000))).collect(),
        sessions: random.random_bool(0.35),
        choice: zipf(favourites.len()),
        models: favourites,
    }
}

/// Chooses among `count`, the first most often.
fn zipf(count: usize) -> WeightedAliasIndex<f64> {
    let weights = (1..=count).map(|rank| (rank as f64).powf(-SKEW)).collect();
    #[allow(clippy::expect_used, reason = "count is at least 1, and every weight positive")]
    WeightedAliasIndex::new(weights).expect("weights are positive")
}
