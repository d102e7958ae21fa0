//! Registers the paths of PROTOCOL 9.4; the engine serves them.

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use bloonio_sudo::{MOUNTED_BODY_LIMIT, MountedRoute, SudoEngine};

use crate::convert;

pub(crate) fn mounted<S: Clone + Send + Sync + 'static>(engine: &SudoEngine) -> Router<S> {
    engine.mounted_routes().into_iter().fold(Router::new(), |router, (route, path)| {
        let engine = engine.clone();
        router.route(&path, any(move |request| async move { serve(&engine, route, request).await }))
    })
}

async fn serve(engine: &SudoEngine, route: MountedRoute, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let head = convert::Head::of(parts);
    convert::answer(match convert::collect(&head.view(&[]), body, MOUNTED_BODY_LIMIT).await {
        Ok(body) => engine.serve(route, &head.view(&body)).await,
        Err(why) => engine.mounted_body_refused(why),
    })
}
