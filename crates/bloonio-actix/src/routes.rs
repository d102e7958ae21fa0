//! Registers the paths of PROTOCOL 9.4; the engine serves them.

use actix_web::web::{self, Payload};
use actix_web::{HttpRequest, HttpResponse, Resource};
use bloonio_sudo::{MOUNTED_BODY_LIMIT, MountedRoute, SudoEngine};

use crate::convert::{self, Head, NativeRequest};

pub(crate) fn mounted(engine: &SudoEngine) -> Vec<Resource> {
    let resource = |(route, path): (MountedRoute, String)| {
        let engine = engine.clone();
        web::resource(path).to(move |request, payload| serve(engine.clone(), route, request, payload))
    };
    engine.mounted_routes().into_iter().map(resource).collect()
}

async fn serve(engine: SudoEngine, route: MountedRoute, request: HttpRequest, payload: Payload) -> HttpResponse {
    let head = Head(NativeRequest::new(request));
    convert::answer(match convert::collect(&head, payload.into_inner(), MOUNTED_BODY_LIMIT).await {
        Ok(body) => engine.serve(route, &head.view(&body)).await,
        Err(why) => engine.mounted_body_refused(why),
    })
}
