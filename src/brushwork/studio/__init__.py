"""The web page: it drives the same jobs and engines as the command line and knows nothing of painting.

``server`` puts ``guard`` (who may ask for what) before ``page`` (Gradio); ``folder`` keeps everything on
disk, ``uploads`` takes files in, ``queue`` paints.
"""
