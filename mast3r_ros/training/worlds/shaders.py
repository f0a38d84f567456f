# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The OpenGL programs. Colors are squared and rooted, near enough to sRGB and linear light."""

VERTEX = """
#version 330
uniform mat4 world_to_clip;
in vec3 position;
in vec3 normal;
in vec2 coordinate;
in float layer;
in vec3 dark;
in vec3 light;
in vec2 surface;
out vec3 at;
out vec2 uv;
flat out vec3 facing;
flat out float number;
flat out vec3 low;
flat out vec3 high;
flat out vec2 kind;
void main() {
    gl_Position = world_to_clip * vec4(position, 1.0);
    at = position;
    uv = coordinate;
    facing = normal;
    number = layer;
    low = dark;
    high = light;
    kind = surface;
}
"""

COLOR = """
#version 330
uniform sampler2DArray textures;
uniform sampler2D shadows;
uniform vec3 room;
uniform vec3 ambient;
uniform vec3 lights[4];
uniform vec3 intensities[4];
in vec3 at;
in vec2 uv;
flat in vec3 facing;
flat in float number;
flat in vec3 low;
flat in vec3 high;
flat in vec2 kind;
out vec4 color;
void main() {
    vec3 paint = texture(textures, vec3(uv, number), -0.4).rgb;
    float gray = dot(paint, vec3(0.3, 0.59, 0.11));
    paint = mix(paint * high, mix(low, high, gray), kind.x);
    paint *= paint;
    // Corners and the floor under furniture see less of the light.
    vec3 wall = clamp(min(at, room - at) * 2.5, 0.0, 1.0);
    wall = 0.72 + 0.28 * wall * (2.0 - wall);
    float open = wall.x * wall.y * wall.z;
    float shadow = texture(shadows, at.xy / room.xy).r * 2.0;
    float lit = mix(shadow, 1.0, clamp(at.z * 2.5, 0.0, 1.0));
    vec3 sum = ambient * open * (0.85 + 0.15 * facing.z) * (0.4 + 0.6 * lit);
    for (int i = 0; i < 4; ++i) {
        vec3 d = lights[i] - at;
        float r2 = dot(d, d) + 0.3;
        float falls = max(dot(facing, d), 0.0) * inversesqrt(r2) / (r2 + 1.0);
        sum += intensities[i] * (falls * lit * open);
    }
    sum = mix(sum, vec3(1.0), kind.y);
    color = vec4(sqrt(paint * sum), 1.0);
}
"""

VERTEX_BARE = """
#version 330
uniform mat4 world_to_clip;
in vec3 position;
void main() {
    gl_Position = world_to_clip * vec4(position, 1.0);
}
"""

# The w of clip space is z of the camera.
DEPTH = """
#version 330
out float depth;
void main() {
    depth = 1.0 / gl_FragCoord.w;
}
"""


def smooth(shader: str) -> str:
    """The same with normals that change over a face."""
    return shader.replace("flat out vec3 facing", "out vec3 facing").replace(
        "flat in vec3 facing", "in vec3 facing"
    )
