"""The addresses of the server, and what each of them answers."""

import time
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from efficientnet_tf import label_sets
from efficientnet_tf.serve import (
    api_page,
    bodies,
    metrics,
    openapi,
    page,
    presence,
    tf_serving,
    uploads,
)
from efficientnet_tf.serve.room import Place
from efficientnet_tf.serve.service import Service
from efficientnet_tf.serve.uploads import Upload, Uploads


class Routes:
    """Answers requests; each method is the endpoint of a route.

    Args:
        service: the model at work.
    """

    def __init__(self, service: Service):
        self._service = service
        served = service.served
        self._openapi = openapi.document(served, service.settings)
        self._page = page.render(served)
        self._api_page = api_page.render(self._openapi)

    def all(self) -> list[Route]:
        """Returns the routes."""
        model = "/v1/models/{name}"
        return [
            Route("/", self.page),
            Route("/docs", self.docs),
            Route("/openapi.json", self.openapi),
            Route("/healthz", self.health),
            Route("/readyz", self.readiness),
            Route("/metrics", self.metrics),
            Route("/v1/predict", self.predict, methods=["POST"]),
            Route("/v1/cam", self.cam, methods=["POST"]),
            Route(model + ":predict", self.tf_serving_predict, methods=["POST"]),
            Route(model, self.tf_serving_status),
        ]

    async def predict(self, request: Request) -> Response:
        """Predicts the images of a request."""
        began = time.perf_counter()
        with self._service.room.place() as place:
            found = await self._uploads(request, place)
            place.add_images(len(found.images))
            work = self._service.predict(found.images)
            rows = await presence.unless_gone(request, work)
        results = [
            self._result(upload, number, row, found.top_k)
            for number, (upload, row) in enumerate(
                zip(found.images, rows, strict=True), start=1
            )
        ]
        answer: dict[str, Any] = {"results": results}
        if all("error" in result for result in results):
            answer = {"error": results[0]["error"], **answer}
        answer["milliseconds"] = round((time.perf_counter() - began) * 1e3, 2)
        return JSONResponse(answer, 422 if "error" in answer else 200)

    async def cam(self, request: Request) -> Response:
        """Draws one image's class activation map over it."""
        if not self._service.served.has_maps:
            told = "this model gives no class activation maps; serve a run or --weights"
            raise HTTPException(404, told)
        with self._service.map_room.place() as place:
            found = await self._uploads(request, place)
            if len(found.images) != 1:
                told = f"{len(found.images)} images; allowed is one for a map"
                raise HTTPException(400, told)
            place.add_images(1)
            work = self._service.overlay(found.images[0])
            png = await presence.unless_gone(request, work)
        return Response(png, media_type="image/png")

    async def tf_serving_predict(self, request: Request) -> Response:
        """Predicts as TensorFlow Serving does, all images or none."""
        self._check_name(request)
        service = self._service
        with service.room.place() as place:
            body = await bodies.read(request, service.settings, place)
            images, by_rows = tf_serving.parse(body)
            place.add_images(len(images))
            rows = await presence.unless_gone(request, service.predict(images))
        for number, row in enumerate(rows, start=1):
            if isinstance(row, str):
                raise HTTPException(422, _refused(Upload(), number, row))
        names = service.served.class_names
        return JSONResponse(tf_serving.answer(rows, names, by_rows=by_rows))

    async def tf_serving_status(self, request: Request) -> Response:
        """Tells the state of the model as TensorFlow Serving does."""
        self._check_name(request)
        return JSONResponse(tf_serving.STATUS)

    async def page(self, request: Request) -> Response:
        """Shows the page to drop photos on."""
        return self._page.response()

    async def docs(self, request: Request) -> Response:
        """Shows what `openapi` tells."""
        return self._api_page.response()

    async def openapi(self, request: Request) -> Response:
        """Describes all routes."""
        return JSONResponse(self._openapi)

    async def health(self, request: Request) -> Response:
        """Tells whether the process works."""
        if not self._service.is_alive:
            raise HTTPException(503, "the model's thread has ended; restart the server")
        return JSONResponse({"status": "ok"})

    async def readiness(self, request: Request) -> Response:
        """Tells whether new requests are answered."""
        if self._service.stopping:
            raise HTTPException(503, "the server is stopping")
        return JSONResponse({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        """Gives the counters."""
        text = self._service.metrics.text()
        return Response(text, media_type=metrics.CONTENT_TYPE)

    async def _uploads(self, request: Request, place: Place) -> Uploads:
        settings = self._service.settings
        uploads.check_content_type(request)
        body = await bodies.read(request, settings, place)
        return await uploads.parse(request, body, most=settings.queue)

    def _result(
        self, upload: Upload, number: int, row: np.ndarray | str, top_k: int
    ) -> dict:
        """Returns what is told of one image."""
        named = {"file": upload.file} if upload.file else {}
        if isinstance(row, str):
            return named | {"error": _refused(upload, number, row)}
        return named | {"predictions": self._service.rank(row, top_k)}

    def _check_name(self, request: Request) -> None:
        asked, name = request.path_params["name"], self._service.served.name
        if asked != name:
            raise HTTPException(404, f"model {asked} is not served; allowed is {name}")


def _refused(upload: Upload, number: int, reason: str) -> str:
    name = label_sets.printable(upload.file or str(number))
    return f"image {name} is refused: {reason}"
