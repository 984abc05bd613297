//! The thread that exports, and what a process holds of it.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{SdkTracerProvider, SpanExporter},
};
use tokio::sync::Notify;

use crate::{
    ContextHeaders, Environment, Sampler, SpanCounts, SpanQueue, durations,
    exporters::{metric_exporter, span_exporter},
    propagation,
    watched::{Batches, MetricCounts, Reported, Watched},
};

/// Pause after a batch that was not taken; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a stop waits for the last spans and metrics, each.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Why nothing is exported although the environment asks for it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refused a thread or a runtime.
    #[error("cannot start the thread that exports telemetry: {0}")]
    Thread(io::Error),
    /// An exporter cannot be made of the settings.
    #[error("the settings of the OTLP exporter (OTEL_EXPORTER_OTLP_…) cannot be used: {0}")]
    Exporter(String),
}

impl From<ExporterBuildError> for StartError {
    fn from(error: ExporterBuildError) -> Self {
        Self::Exporter(error.to_string())
    }
}

/// What became of what a process exports, since its start; zeros where that is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportCounts {
    /// Of spans.
    pub spans: SpanCounts,
    /// Of batches of metrics.
    pub metrics: MetricCounts,
}

/// Traces and metrics of one process. Clones share them.
#[derive(Debug, Clone)]
pub struct Telemetry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    environment: Environment,
    /// `None`: traces are off.
    spans: Option<SpanQueue>,
    tracers: Option<SdkTracerProvider>,
    /// `None`: metrics are off.
    meters: Option<SdkMeterProvider>,
    metric_batches: Arc<Batches>,
    stop: Arc<Notify>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Telemetry {
    /// Starts what the environment asks for under the name of a service; `None`: nothing.
    /// Called before logging begins, as spans of `tracing` need a layer of it.
    ///
    /// # Errors
    /// If exporters cannot be made of the settings, or no thread can be started.
    pub fn start(environment: Environment, service: &str) -> Result<Option<Self>, StartError> {
        if environment.traces.is_none() && environment.metrics.is_none() {
            return Ok(None);
        }
        let resource = resource(&environment, service);
        let spans = environment
            .traces
            .is_some()
            .then(|| SpanQueue::new(environment.max_queue, environment.max_batch));
        let tracers = spans.clone().map(|queue| {
            propagation::begin(environment.context_headers);
            SdkTracerProvider::builder()
                .with_span_processor(queue)
                .with_resource(resource.clone())
                .build()
        });
        let stop = Arc::new(Notify::new());
        let metric_batches = Arc::<Batches>::default();
        let (made, making) = mpsc::sync_channel(1);
        let work = {
            let (environment, spans, stop) = (environment.clone(), spans.clone(), stop.clone());
            let batches = metric_batches.clone();
            move || export(&environment, &resource, spans.as_ref(), batches, &stop, &made)
        };
        let thread = thread::Builder::new()
            .name("modash-otlp".to_owned())
            .spawn(work)
            .map_err(StartError::Thread)?;
        let ended = || StartError::Exporter("the exporter's thread ended".to_owned());
        let meters = making.recv().map_err(|_| ended())??;
        if let Some(meters) = &meters {
            durations::begin(&meters.meter("modash"));
        }
        let thread = Mutex::new(Some(thread));
        let shared = Shared { environment, spans, tracers, meters, metric_batches, stop, thread };
        Ok(Some(Self { shared: Arc::new(shared) }))
    }

    /// Writes a log line on what is exported, and one on each value that is not understood.
    pub fn announce(&self) {
        let Environment { traces, metrics, problems, sampler, .. } = &self.shared.environment;
        for problem in problems {
            tracing::warn!(problem, "a variable of OpenTelemetry is not understood");
        }
        tracing::info!(
            traces = traces.is_some(),
            metrics = metrics.is_some(),
            ?sampler,
            "exporting by OTLP"
        );
    }

    /// Where spans go; `None`: traces are off.
    #[must_use]
    pub fn spans(&self) -> Option<&SpanQueue> {
        self.shared.spans.as_ref()
    }

    /// Which requests are traced.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        self.shared.environment.sampler
    }

    /// How trace context is written in headers.
    #[must_use]
    pub fn context_headers(&self) -> ContextHeaders {
        self.shared.environment.context_headers
    }

    /// What became of spans and metrics.
    #[must_use]
    pub fn counts(&self) -> ExportCounts {
        ExportCounts {
            spans: self.spans().map(SpanQueue::counts).unwrap_or_default(),
            metrics: self.shared.metric_batches.counts(),
        }
    }

    /// Makes instruments; `None`: metrics are off.
    #[must_use]
    pub fn meter(&self, scope: &'static str) -> Option<Meter> {
        Some(self.shared.meters.as_ref()?.meter(scope))
    }

    pub(crate) fn tracers(&self) -> Option<&SdkTracerProvider> {
        self.shared.tracers.as_ref()
    }

    /// Exports what is left, within two seconds for each signal. Blocks.
    pub fn finish(&self) {
        if let Some(meters) = &self.shared.meters {
            // A failure was logged by the exporter.
            let _ = meters.shutdown_with_timeout(LAST_EXPORT);
        }
        self.shared.stop.notify_one();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// The attributes of everything that this process exports.
fn resource(environment: &Environment, service: &str) -> Resource {
    let name = environment.service_name.clone().unwrap_or_else(|| service.to_owned());
    Resource::builder()
        .with_attribute(KeyValue::new(crate::semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
        .with_service_name(name)
        .build()
}

type Made = Result<Option<SdkMeterProvider>, StartError>;

/// Makes the exporters and works until the stop.
fn export(
    environment: &Environment,
    resource: &Resource,
    spans: Option<&SpanQueue>,
    batches: Arc<Batches>,
    stop: &Notify,
    made: &mpsc::SyncSender<Made>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(made.send(Err(StartError::Thread(error)))),
    };
    runtime.block_on(async {
        let exporter = environment.traces.as_ref().map(span_exporter).transpose();
        let meters = environment
            .metrics
            .as_ref()
            .map(|signal| {
                let exporter = Watched::new(metric_exporter(signal)?, batches);
                let reader = PeriodicReader::builder(exporter)
                    .with_interval(environment.metric_interval)
                    .build();
                let provider = SdkMeterProvider::builder().with_resource(resource.clone());
                Ok(provider.with_reader(reader).build())
            })
            .transpose();
        let exporter = match (exporter, meters) {
            (Ok(exporter), Ok(meters)) => {
                let _ = made.send(Ok(meters));
                exporter
            }
            (Err(error), _) | (_, Err(error)) => return drop(made.send(Err(error))),
        };
        match (exporter, spans) {
            (Some(mut exporter), Some(spans)) => {
                exporter.set_resource(resource);
                export_spans(environment, &exporter, spans, stop).await;
            }
            // Requests of the metrics' exporter need this runtime.
            _ => stop.notified().await,
        }
    });
}

async fn export_spans(
    environment: &Environment,
    exporter: &impl SpanExporter,
    spans: &SpanQueue,
    stop: &Notify,
) {
    let timeout = environment.traces.as_ref().map_or(LAST_EXPORT, |signal| signal.timeout);
    let mut state = Reported::default();
    let (mut pause, mut stopping) = (Duration::ZERO, false);
    let stopped = stop.notified();
    tokio::pin!(stopped);
    while !stopping {
        let gathered = async {
            tokio::time::sleep(pause).await;
            tokio::select! {
                () = spans.filled() => {}
                () = tokio::time::sleep(environment.schedule_delay) => {}
            }
        };
        tokio::select! {
            () = gathered => {}
            () = &mut stopped => stopping = true,
        }
        loop {
            let batch = spans.take();
            let length = batch.len();
            if length == 0 {
                pause = Duration::ZERO;
                break;
            }
            let exporting = tokio::time::timeout(timeout, exporter.export(batch));
            let exported = if stopping {
                tokio::time::timeout(LAST_EXPORT, exporting).await
            } else {
                tokio::select! {
                    exported = exporting => Ok(exported),
                    () = async { (&mut stopped).await; tokio::time::sleep(LAST_EXPORT).await } => {
                        stopping = true;
                        Ok(Ok(Err(opentelemetry_sdk::error::OTelSdkError::Timeout(LAST_EXPORT))))
                    }
                }
            };
            let problem = match exported {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(error))) => Some(error.to_string()),
                Ok(Err(_)) | Err(_) => Some("the collector does not answer in time".to_owned()),
            };
            spans.note(length, problem.is_none());
            let failed = problem.is_some();
            state.report("spans", problem);
            if failed {
                pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                break;
            }
        }
    }
}
