//! The example bank on actix-web: a transfer that runs once a person has approved it on the phone. What the bank does, and
//! what it protects, is in `example-bank`.

mod bank;

use std::future::ready;
use std::net::{AddrParseError, SocketAddr};

use actix_web::guard::{Any, Get, Head};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpServer, rt};
use anyhow::Context;
use bloonio_actix::{BloonioAuth, SudoMiddleware};
use clap::Parser;
use example_bank::ledger::Ledger;
use example_bank::{page, process, protection, sign_in};

/// The example bank: protected routes on actix-web.
///
/// The relay and the credentials come from the environment: BLOONIO_RELAY_BASE_URL, BLOONIO_RELAY_TENANT_ID,
/// BLOONIO_RELAY_TENANT_SECRET, and BLOONIO_RELAY_STATE_BACKEND_URL or BLOONIO_RELAY_STATE_BACKEND=memory at least.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, env = "APP_LISTEN", default_value = DEFAULT_LISTEN, value_parser = address)]
    app_listen: SocketAddr,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:8702";

fn address(text: &str) -> Result<SocketAddr, AddrParseError> {
    process::address(text, DEFAULT_LISTEN)
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    process::start_log();
    // One engine and one ledger for all workers: the closure below runs once in each of them.
    let auth = BloonioAuth::from_env(sign_in::identify).await.context("the step-up approval cannot start")?;
    let ledger = Data::new(Ledger::default());
    let protected = Protected::new(&auth);
    auth.doctor()?;
    let app_auth = auth.clone();
    let server = HttpServer::new(move || App::new().configure(app(&app_auth, &protected, &ledger)))
        // A client that goes away stops waiting for its approval.
        .h1_allow_half_closed(false)
        .disable_signals()
        .bind(options.app_listen)
        .with_context(|| format!("APP_LISTEN: cannot listen on {}", options.app_listen))?;
    for address in server.addrs() {
        println!("listening on http://{address}");
    }
    let server = server.run();
    let handle = server.handle();
    // Waits to be told, then ends the requests that wait for a phone: they would keep the server alive.
    rt::spawn(async move {
        process::told_to_stop().await;
        auth.shutdown().await;
        handle.stop(true).await;
    });
    Ok(server.await?)
}

/// What stands in front of the protected routes: made once, so that the doctor sees it, and cloned into every worker.
#[derive(Clone)]
struct Protected {
    transfer: SudoMiddleware,
    payout: SudoMiddleware,
    password: SudoMiddleware,
    pair: SudoMiddleware,
}

impl Protected {
    fn new(auth: &BloonioAuth) -> Self {
        Self {
            transfer: auth.sudo_required(protection::transfer()),
            payout: auth.sudo_required(protection::payout()),
            password: auth.sudo_required(protection::password()),
            pair: auth.sudo_required(protection::pair()),
        }
    }
}

fn app(auth: &BloonioAuth, protected: &Protected, ledger: &Data<Ledger>) -> impl FnOnce(&mut ServiceConfig) {
    let (auth, protected, ledger) = (auth.clone(), protected.clone(), ledger.clone());
    move |config| {
        let read = || web::route().guard(Any(Get()).or(Head()));
        let transfer = web::resource("/transfer/execute").route(web::post().to(bank::transfer));
        let payout = web::resource("/payout/execute").route(web::post().to(bank::transfer));
        let password = web::resource("/password/change").route(web::post().to(bank::change_password));
        let pair = web::resource("/pair").route(read().to(bank::pair));
        let signed_in = web::scope("")
            .service(transfer.wrap(protected.transfer))
            .service(payout.wrap(protected.payout))
            .service(password.wrap(protected.password))
            .service(pair.wrap(protected.pair))
            .service(web::resource("/ledger").route(read().to(bank::ledger)))
            .wrap(from_fn(bank::sign_in));
        for asset in &page::ASSETS {
            config.service(web::resource(asset.path).route(read().to(move || ready(bank::asset(asset)))));
        }
        config.app_data(ledger).app_data(Data::new(auth.clone())).service(auth.routes()).service(signed_in);
    }
}
