# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The one loop: describe -> retrieve -> match -> solve -> verify."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import (
    Description,
    batch_for,
    estimates_camera,
    has_second_matcher,
)
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization import solving
from mast3r_ros.localization.answer import answer_of
from mast3r_ros.localization.bystanders import bystanders
from mast3r_ros.localization.expected import Expectation, seen_as_expected
from mast3r_ros.localization.look_alikes import (
    counterparts,
    distance_from_keyframes,
    facing,
    look_alikes,
)
from mast3r_ros.localization.metric_scale import MetricScale
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.protection import protection_levels
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.localization.second_look import (
    can_look_again,
    doubtful,
    match_again,
    mendable,
)
from mast3r_ros.localization.view import MatchedView, View, as_views

# So many keyframes are matched in any case: the robot's body, ambiguity and the disagreement of
# keyframes show in several only.
_FEWEST_KEYFRAMES = 3


class Relocalizer:
    """Finds a camera in a map of keyframes.

    Every pose that `localize` returns has passed all checks of `RelocalizerOptions`; a pose that
    has not is refused with a reason.
    """

    def __init__(self, keyframes: KeyframeMap, options: RelocalizerOptions | None = None) -> None:
        """Localize in `keyframes`, which may grow and shrink between calls."""
        self.map = keyframes
        self.options = options or RelocalizerOptions()
        # Of points that a network predicts; 1 until somebody drives (`DrivenScale`).
        self.scale = MetricScale()

    def localize(
        self, query: Frame | Sequence[View], prior: PosePrior | None = None
    ) -> Localization:
        """Where the camera is in the map, or the body that several views are tied to.

        Args:
            query: one image, whose camera is the body; or the images of several cameras, or of the
                last seconds, as `View`s. Their depth is not needed.
            prior: where the body is believed to be; it steers retrieval alone.

        Raises:
            FrontEndError: the front end cannot do what the options ask for.
            ValueError: no view, or a pose that is none.
        """
        views = as_views(query)
        timings: dict[str, float] = {}
        matched: list[MatchedView] = []
        for view in views:
            compared = self.match(view, view.prior(prior), timings)
            if isinstance(compared, Localization):
                return compared
            matched.append(compared)
        return self.solve(matched, timings)

    def match(
        self, view: View, prior: PosePrior | None, timings: dict[str, float]
    ) -> MatchedView | Localization:
        """Describe one image, and match it with the keyframes that look like it.

        Args:
            view: the image.
            prior: where its camera is believed to be.
            timings: seconds by stage, to which this image's are added.

        Returns:
            All that `solve` needs, or why there is nothing to match.
        """
        frame, front_end = view.frame, self.map.front_end
        if not len(self.map):
            return Localization(Reason.EMPTY_MAP, Reason.EMPTY_MAP.value)
        if frame.camera is None and not estimates_camera(front_end):
            return Localization(Reason.NO_CAMERA, Reason.NO_CAMERA.value)
        with timed(timings, "describe"):
            query = front_end.describe(frame)
            camera = frame.camera or self._estimate_camera(query, frame)
        described = MatchedView(
            camera,
            (),
            (),
            view.T_body_camera,
            view.T_now_then,
            view.motion_covariance,
            frame.camera is None,
            query,
            frame,
        )
        return self._match_described(described, prior, timings)

    def localize_description(
        self, query: Description, camera: Camera, prior: PosePrior | None = None
    ) -> Localization:
        """Where an image is that was described before, for example a keyframe of another map.

        Args:
            query: of this map's front end.
            camera: of the image.
            prior: where the camera is believed to be; it steers retrieval alone.
        """
        if not len(self.map):
            return Localization(Reason.EMPTY_MAP, Reason.EMPTY_MAP.value)
        timings: dict[str, float] = {}
        matched = self._match_described(MatchedView(camera, (), (), query=query), prior, timings)
        return self.solve([matched], timings)

    def _match_described(
        self, described: MatchedView, prior: PosePrior | None, timings: dict[str, float]
    ) -> MatchedView:
        """Match an image, known by its description, with the keyframes that look like it."""
        assert described.query is not None
        with timed(timings, "retrieve"):
            keyframes = self.map.nearest(described.query, self.options.num_candidates, prior)
        with timed(timings, "match"):
            first = batch_for(self.map.front_end, _FEWEST_KEYFRAMES)
            compared = self._compare(described, keyframes[:first])
            rest = keyframes[first:]
            return self._compare_doubtful(compared, rest) if rest else compared

    def _compare(
        self, view: MatchedView, keyframes: Sequence[Keyframe], again: bool = False
    ) -> MatchedView:
        """Match an image with more keyframes, by the second matcher if `again` and it can."""
        if not keyframes:
            return view
        assert view.query is not None
        front_end, references = self.map.front_end, [k.description for k in keyframes]
        if again and has_second_matcher(front_end) and can_look_again(front_end, view):
            found = list(front_end.match_again(references, view.query, view.frame))
        else:
            found = front_end.match(
                references, view.query, query_points=self.options.pose_method == "procrustes"
            )
        return replace(
            view,
            keyframes=(*view.keyframes, *keyframes),
            found=(*view.found, *found),
            sure_pose=None,
        )

    def _compare_doubtful(self, view: MatchedView, rest: Sequence[Keyframe]) -> MatchedView:
        """Match the other candidates where the first ones are not sure of a pose."""
        if self.options.pose_method != "pnp":
            return self._compare(view, rest)
        scale = self.map.front_end.pixel_error_scale(view.size)
        sure = solving.sure_pose(view, scale, self.options, self.sure_inliers)
        if sure is None:
            return self._compare(view, rest)
        return replace(view, sure_pose=sure, unmatched=tuple(rest))

    def solve(
        self, views: Sequence[MatchedView], timings: dict[str, float], again: bool = False
    ) -> Localization:
        """One verified pose over all matches of all views.

        Args:
            views: the query; its first one counts as the image of this instant where there are
                several.
            timings: seconds by stage, to which solving is added.
            again: match by the second matcher at once; see `looks_again`.
        """
        views = self.scale.applied(views)
        answer: Localization | None = None
        if not again:
            with timed(timings, "solve"):
                answer = self._solve(views)
            if answer.localized:
                answer, views = self._look_elsewhere(answer, views, timings)
            if mendable(answer):
                answer, views = self._look_at_the_rest(answer, views, timings)
            doubt = mendable(answer) or doubtful(answer, self.options)
            again = doubt and self._can_look_again(views)
        if again:
            second, seen = self._look_again(views, timings)
            # An accepted pose is replaced by a more exact one only.
            if answer is None or _replaces(second, answer):
                answer, views = second, seen
        assert answer is not None
        if answer.places:
            answer = self._look_at_the_others(answer, views, timings)
        estimated = any(view.camera_estimated for view in views)
        return replace(answer, timings=timings, camera_estimated=estimated)

    def compare_with(
        self, views: Sequence[MatchedView], answer: Localization, timings: dict[str, float]
    ) -> list[MatchedView] | None:
        """Match images with keyframes that see the other places of an answer, too.

        Args:
            views: images of the answer's instant, with their descriptions.
            answer: compared with other places, see `Localization.places`.
            timings: seconds by stage, to which matching is added.

        Returns:
            The views with all that they were matched with; None where there is no such place, or
            one that no keyframe faces: the images can say nothing of it.
        """
        distance = distance_from_keyframes(answer.matches)
        more = facing(self.map, answer.places[1:], views, distance)
        return None if more is None else self._match_more(more, answer, views, timings)

    def confirm(
        self, views: Sequence[MatchedView], expected: Expectation, timings: dict[str, float]
    ) -> Localization | None:
        """An expected pose as the answer, if an image shows the map as it would from there.

        Args:
            views: of one instant, with their descriptions.
            expected: where the body is.
            timings: seconds by stage, to which matching is added.

        Returns:
            An answer without matches: they say that the pose is right, not how exact it is.
        """
        variances = np.diag(expected.covariance)
        sigmas = [float(np.sqrt(variances[i : i + 3].sum())) for i in (0, 3)]
        limits = (self.options.max_position_sigma, self.options.max_rotation_sigma)
        if not (sigmas[0] <= limits[0] and sigmas[1] <= limits[1]):
            return None
        with timed(timings, "match"):
            sights = [seen_as_expected(self.map, v, expected, self.min_inliers) for v in views]
        best = max((s for s in sights if s is not None), key=lambda s: s.found, default=None)
        if best is None:
            return None
        figures = (
            f"as odometry expects: {best.found} features where they should be, "
            f"{best.by_chance} by chance, {sigmas[0]:.3f} m, {sigmas[1]:.4f} rad"
        )
        levels = protection_levels(expected.covariance, self.options.protection_probability)
        return Localization(
            Reason.LOCALIZED,
            f"{Reason.LOCALIZED.value} ({figures})",
            expected.pose,
            expected.covariance,
            expected.confidence,
            protection_position=levels[0],
            protection_rotation=levels[1],
            timings=timings,
            fresh=0.0,
        )

    @property
    def min_inliers(self) -> int:
        """Fewest inliers of an accepted pose."""
        return self.options.min_inliers or self.map.front_end.min_inliers

    @property
    def sure_inliers(self) -> float:
        """Inliers from which on a pose needs no second opinion."""
        return self.options.sure_inliers * self.min_inliers

    @property
    def looks_again(self) -> bool:
        """Whether a refused image may be matched by a second matcher."""
        # The second matcher's matches have no points of the query's own.
        allowed = self.options.second_look > 0 and self.options.pose_method != "procrustes"
        return allowed and has_second_matcher(self.map.front_end)

    def _can_look_again(self, views: Sequence[MatchedView]) -> bool:
        front_end = self.map.front_end
        return (
            self.looks_again
            and has_second_matcher(front_end)
            and any(can_look_again(front_end, view) for view in views)
        )

    def _look_elsewhere(
        self, answer: Localization, views: Sequence[MatchedView], timings: dict[str, float]
    ) -> tuple[Localization, Sequence[MatchedView]]:
        """Match keyframes elsewhere that look alike, too; solve once more if they say anything."""
        assert answer.pose is not None
        count = self.options.look_alikes
        sure = answer.inliers >= self.sure_inliers
        elsewhere: list[list[Keyframe]] = []
        for i, view in enumerate(views):
            matches = [m for m in answer.matches if m.view == i]
            if view.query is None or not count or not any(m.inliers.any() for m in matches):
                elsewhere.append([])
                continue
            pose = answer.pose @ view.body_camera
            with timed(timings, "retrieve"):
                elsewhere.append(look_alikes(self.map, view.query, pose, matches, count, sure))
        if not any(elsewhere):
            return answer, views
        wider = self._match_more(elsewhere, answer, views, timings)
        with timed(timings, "solve"):
            scales = [self.map.front_end.pixel_error_scale(v.size) for v in wider]
            silent = bystanders(answer, wider, scales, self.min_inliers, self.options)
        if silent is not None:
            return replace(answer, matches=(*answer.matches, *silent)), views
        return self._solve_wider(answer, wider, timings), wider

    def _look_at_the_rest(
        self, answer: Localization, views: Sequence[MatchedView], timings: dict[str, float]
    ) -> tuple[Localization, Sequence[MatchedView]]:
        """Match the other candidates, too: a pose that the first ones were sure of was refused.

        Those that look most like an image are not always those that see most of it.
        """
        missing = [view.missing for view in views]
        if not any(missing):
            return answer, views
        wider = self._match_more(missing, answer, views, timings)
        with timed(timings, "solve"):
            answer = self._solve(wider)
        return self._look_elsewhere(answer, wider, timings) if answer.localized else (answer, wider)

    def _look_at_the_others(
        self, answer: Localization, views: Sequence[MatchedView], timings: dict[str, float]
    ) -> Localization:
        """Match what sees the other places of an answer; if anything, solve once more.

        That is what sees one place from where another was seen, to compare features, and for the
        image of this instant what stands nearest to the other places, to compare shapes.
        """
        distance, more = distance_from_keyframes(answer.matches), list[list[Keyframe]]()
        for view in views:
            found: dict[int, Keyframe] = {}
            for other in answer.places[1:] if view.query is not None else ():
                one, beyond = answer.places[0] @ view.body_camera, other @ view.body_camera
                missing = counterparts(self.map, one, beyond, view.keyframes, distance)
                found.update({k.id: k for k in missing})
            more.append(list(found.values())[: self.options.num_candidates])
        if views[0].query is not None:
            beside = facing(self.map, answer.places[1:], views[:1], distance)
            known = {k.id for k in more[0]}
            more[0] += [k for k in beside[0] if k.id not in known] if beside else []
        if not any(more):
            return answer
        return self._solve_wider(answer, self._match_more(more, answer, views, timings), timings)

    def _match_more(
        self,
        keyframes: Sequence[Sequence[Keyframe]],
        answer: Localization,
        views: Sequence[MatchedView],
        timings: dict[str, float],
    ) -> list[MatchedView]:
        """Match each view with more keyframes, by the matcher that the answer rests on."""
        again = bool(answer.matcher)
        with timed(timings, "match again" if again else "match"):
            return self.scale.applied(
                [
                    self._compare(view, more, again)
                    for view, more in zip(views, keyframes, strict=True)
                ]
            )

    def _solve_wider(
        self, answer: Localization, views: Sequence[MatchedView], timings: dict[str, float]
    ) -> Localization:
        """Solve once more, with the matches of more keyframes than the answer's."""
        with timed(timings, "solve"):
            wider = self._solve(views)
            if not wider.localized and wider.inliers < answer.inliers:
                # Among more matches, samples may miss the pose that most of them agree on.
                wider = self._solve(views, answer.pose if answer.localized else answer.places[0])
        return self._by_second(wider) if answer.matcher else wider

    def _look_again(
        self, views: Sequence[MatchedView], timings: dict[str, float]
    ) -> tuple[Localization, Sequence[MatchedView]]:
        """Match a refused query by the second matcher, and solve once more."""
        front_end = self.map.front_end
        assert has_second_matcher(front_end)
        with timed(timings, "match again"):
            views = match_again(front_end, views, self.options.second_look)
        with timed(timings, "solve"):
            answer = self._by_second(self._solve(views))
        return self._look_elsewhere(answer, views, timings) if answer.localized else (answer, views)

    def _by_second(self, answer: Localization) -> Localization:
        """Say that an answer rests on the second matcher."""
        front_end = self.map.front_end
        assert has_second_matcher(front_end)
        name = front_end.second_matcher
        return replace(answer, message=f"{answer.message}; second look by {name}", matcher=name)

    def _estimate_camera(self, query: Description, frame: Frame) -> Camera:
        front_end = self.map.front_end
        assert estimates_camera(front_end)
        return front_end.estimate_camera(query, frame.size)

    def _solve(self, views: Sequence[MatchedView], start: Pose | None = None) -> Localization:
        return answer_of(views, self.map.front_end, self.min_inliers, self.options, start)


def _replaces(second: Localization, first: Localization) -> bool:
    """Whether the answer of a second look is taken for the first one's."""
    return not first.localized or second.protection_rotation < first.protection_rotation


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Add the seconds that a block takes to those of its stage."""
    start = time.perf_counter()
    try:
        yield
    finally:
        timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start
