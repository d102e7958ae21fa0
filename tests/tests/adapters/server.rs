//! One application, served by either framework over the same engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bloonio_sudo::resolver::Resolved;
use bloonio_sudo::store::InstructionStore;
use bloonio_sudo::{
    CustomType, DataType, ErrorCode, FieldError, RelaySettings, RequestView, SudoEngineBuilder, SudoRequirement,
};
use bloonio_tests::bank::Framework;
use serde_json::{Value, json};

use crate::client::{Ask, Heard, write};
use crate::support::{Stage, settings, transfer};

pub type Store = Arc<dyn InstructionStore>;

/// What is protected, and how: each entry is every path below the prefix, for every method.
fn protected() -> Vec<(&'static str, SudoRequirement)> {
    let new = SudoRequirement::new;
    vec![
        ("/bank", transfer()),
        ("/nested/bank", transfer()),
        ("/other", new("payout_funds")),
        ("/waiting", new("payout_funds").with_blocking()),
        ("/golden", new("change_password").with_custom_type(CustomType::GoldenNumber)),
        ("/bound", transfer().with_bound_header("idempotency-key")),
        ("/shown", transfer().with_json_field("amount", "Amount", DataType::CurrencyUsd, "/amount")),
        ("/failing", transfer().with_field("x", "X", DataType::RawText, |_| Err(FieldError::application("disk full")))),
        ("/nobody", transfer().with_user(|_| None)),
        ("/misconfigured", new("")),
        ("/canonical", transfer().with_canonical_json()),
        ("/released", transfer().may_run_again_after_server_error()),
        ("/forgetful", transfer().with_consume_in_transaction()),
    ]
}

/// What the resolver says of a path below `/resolved`.
async fn resolve(view: &RequestView<'_>) -> Resolved {
    match view.path() {
        "/resolved/open" => Ok(None),
        "/resolved/broken" => Err("the table of sensitive routes is away".into()),
        _ => Ok(Some(transfer())),
    }
}

/// Protected where the body has more than ten bytes; its handler takes either.
fn partly_protected() -> SudoRequirement {
    SudoRequirement::new("transfer_funds").with_condition(|view| view.body().len() > 10)
}

/// The status that a client asks the handler to answer with.
fn wanted_status(asked: Option<&str>) -> u16 {
    asked.and_then(|status| status.parse().ok()).unwrap_or(200)
}

fn answer(runs: &AtomicUsize, method: &str, target: &str, body: &[u8], approved_by: Option<&str>) -> Value {
    runs.fetch_add(1, Ordering::SeqCst);
    json!({"method": method, "target": target, "body": String::from_utf8_lossy(body), "approved_by": approved_by})
}

/// The application on a free port, and everything around it under the test's control.
pub struct Server {
    pub stage: Stage,
    address: SocketAddr,
    runs: Arc<AtomicUsize>,
    stop: Box<dyn Fn() + Send + Sync>,
}

impl Drop for Server {
    fn drop(&mut self) {
        (self.stop)();
    }
}

impl Server {
    pub async fn start(framework: Framework) -> Self {
        Self::with(framework, settings()).await
    }

    pub async fn with(framework: Framework, settings: RelaySettings) -> Self {
        let clock = Stage::clock();
        let store = crate::store(clock.clone()).await;
        let more = |builder: SudoEngineBuilder| builder.with_identity(crate::support::identify).sudo_resolver(resolve);
        Self::over(framework, Stage::over(settings, clock, store, more)).await
    }

    pub async fn over(framework: Framework, stage: Stage) -> Self {
        let runs = Arc::<AtomicUsize>::default();
        let (address, stop) = match framework {
            Framework::Axum => on_axum::serve(&stage, &runs).await,
            Framework::Actix => on_actix::serve(&stage, &runs).await,
        };
        Self { stage, address, runs, stop }
    }

    pub fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Sends a request and leaves its answer to be read.
    pub async fn open(&self, ask: &Ask) -> tokio::net::TcpStream {
        write(self.address, ask).await
    }

    pub async fn hear(&self, ask: &Ask) -> Heard {
        Heard::from(&mut self.open(ask).await).await.expect("an answer")
    }

    /// Asks, and gives the key to come back with.
    pub async fn key(&self, ask: &Ask) -> String {
        let heard = self.hear(ask).await;
        // A HEAD request's answer has no body to read the key in.
        heard.assert_refused(ErrorCode::SudoInstructionKeyRequired);
        heard.body["instruction_id"].as_str().expect("a key").to_owned()
    }

    /// Asks, has it approved, and gives the key.
    pub async fn approved(&self, ask: &Ask) -> String {
        let key = self.key(ask).await;
        self.stage.tell(&self.stage.event(&key, true)).await.assert(200);
        key
    }
}

type Served = (SocketAddr, Box<dyn Fn() + Send + Sync>);

mod on_axum {
    use super::*;
    use axum::Json;
    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::{OriginalUri, State};
    use axum::http::{HeaderMap, Method, StatusCode};
    use axum::middleware::map_response;
    use axum::response::Response;
    use axum::routing::{any, post};
    use bloonio_axum::{BloonioAuth, MaybeSudo, Sudo};

    type Runs = State<Arc<AtomicUsize>>;

    async fn execute(
        runs: Runs,
        Sudo(grant): Sudo,
        method: Method,
        uri: OriginalUri,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, Json<Value>) {
        let status = wanted_status(headers.get("x-answer").and_then(|value| value.to_str().ok()));
        let approved_by = Some(grant.approved_by().as_str());
        let answer = answer(&runs, method.as_str(), &uri.to_string(), &body, approved_by);
        (StatusCode::from_u16(status).unwrap(), Json(answer))
    }

    async fn either(runs: Runs, sudo: MaybeSudo, method: Method, uri: OriginalUri, body: Bytes) -> Json<Value> {
        let approved_by = sudo.0.as_ref().map(|grant| grant.approved_by().as_str());
        Json(answer(&runs, method.as_str(), &uri.to_string(), &body, approved_by))
    }

    /// Shows outside what outer layers see inside.
    async fn show_code(mut response: Response) -> Response {
        if let Some(code) = response.extensions().get::<ErrorCode>().copied() {
            response.headers_mut().insert("x-seen-code", code.name().parse().unwrap());
        }
        response
    }

    fn app(auth: &BloonioAuth, runs: &Arc<AtomicUsize>) -> Router {
        let mut router = Router::new()
            .route("/partly", any(either).layer(auth.sudo_required(partly_protected())))
            .route("/resolved/{*rest}", any(either).layer(auth.sudo_resolved()))
            .route("/post-only", post(execute).layer(auth.sudo_required(transfer())))
            .route("/bare", any(execute))
            .route("/bare-either", any(either));
        for (prefix, requirement) in protected() {
            let guarded = any(execute).layer(auth.sudo_required(requirement));
            router = match prefix.strip_prefix("/nested") {
                Some(inner) => router.nest("/nested", Router::new().route(&format!("{inner}/{{*rest}}"), guarded)),
                None => router.route(&format!("{prefix}/{{*rest}}"), guarded),
            };
        }
        router.with_state(Arc::clone(runs)).merge(auth.routes()).layer(map_response(show_code))
    }

    pub async fn serve(stage: &Stage, runs: &Arc<AtomicUsize>) -> Served {
        let auth = BloonioAuth::from(stage.engine.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, app) = (listener.local_addr().unwrap(), app(&auth, runs));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (address, Box::new(move || server.abort()))
    }
}

mod on_actix {
    use super::*;
    use actix_web::dev::Service;
    use actix_web::http::StatusCode;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use actix_web::web::{self, Bytes, Data, Json, PayloadConfig, ServiceConfig};
    use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt};
    use bloonio_actix::{BloonioAuth, MaybeSudo, Sudo};

    type Runs = Data<AtomicUsize>;

    async fn execute(runs: Runs, Sudo(grant): Sudo, request: HttpRequest, body: Bytes) -> HttpResponse {
        let (method, uri) = (request.method().as_str(), request.uri().to_string());
        let status = wanted_status(request.headers().get("x-answer").and_then(|value| value.to_str().ok()));
        let answer = answer(&runs, method, &uri, &body, Some(grant.approved_by().as_str()));
        HttpResponse::build(StatusCode::from_u16(status).unwrap()).json(answer)
    }

    async fn either(runs: Runs, sudo: MaybeSudo, request: HttpRequest, body: Bytes) -> Json<Value> {
        let (method, uri) = (request.method().as_str(), request.uri().to_string());
        Json(answer(&runs, method, &uri, &body, sudo.0.as_ref().map(|grant| grant.approved_by().as_str())))
    }

    fn app(config: &mut ServiceConfig, auth: &BloonioAuth, runs: &Runs) {
        config.app_data(runs.clone()).app_data(PayloadConfig::new(1 << 20)).service(auth.routes());
        let partly = web::resource("/partly").to(either).wrap(auth.sudo_required(partly_protected()));
        let post_only = web::resource("/post-only").route(web::post().to(execute));
        config.service(web::resource("/resolved/{rest:.*}").to(either).wrap(auth.sudo_resolved()));
        config.service(partly).service(post_only.wrap(auth.sudo_required(transfer())));
        config.route("/bare", web::to(execute)).route("/bare-either", web::to(either));
        for (prefix, requirement) in protected() {
            let guarded = |path: &str| {
                web::resource(format!("{path}/{{rest:.*}}")).to(execute).wrap(auth.sudo_required(requirement.clone()))
            };
            match prefix.strip_prefix("/nested") {
                Some(inner) => config.service(web::scope("/nested").service(guarded(inner))),
                None => config.service(guarded(prefix)),
            };
        }
    }

    pub async fn serve(stage: &Stage, runs: &Arc<AtomicUsize>) -> Served {
        let (auth, runs) = (BloonioAuth::from(stage.engine.clone()), Data::from(Arc::clone(runs)));
        let (told, telling) = tokio::sync::oneshot::channel();
        // Its requests are bound to its own threads, so it gets a runtime of its own.
        let thread = move || {
            rt::System::new().block_on(async move {
                let factory = move || {
                    let configured = |config: &mut ServiceConfig| app(config, &auth, &runs);
                    App::new().configure(configured).wrap_fn(|request, service| {
                        let answering = service.call(request);
                        async move {
                            let mut response = answering.await?;
                            let code = response.response().extensions().get::<ErrorCode>().copied();
                            if let Some(code) = code {
                                let value = HeaderValue::from_static(code.name());
                                response.headers_mut().insert(HeaderName::from_static("x-seen-code"), value);
                            }
                            Ok(response)
                        }
                    })
                };
                let server = HttpServer::new(factory).workers(2).h1_allow_half_closed(false).disable_signals();
                let server = server.bind("127.0.0.1:0").unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                told.send((address, server.handle())).ok();
                server.await.unwrap();
            });
        };
        std::thread::spawn(thread);
        let (address, handle) = telling.await.unwrap();
        // The command is given at the call; nobody waits for its end.
        (address, Box::new(move || drop(handle.stop(false))))
    }
}
