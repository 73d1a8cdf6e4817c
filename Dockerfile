# The course in a container:
#   docker build -t gan-medical-images .
#   docker run --rm -p 8888:8888 -v "$PWD/runs:/course/runs" gan-medical-images          (JupyterLab)
#   docker run --rm --gpus all -v "$PWD/runs:/course/runs" gan-medical-images nbhelpers run --preset full
FROM python:3.12-slim

RUN useradd --create-home student && mkdir /course && chown student /course
WORKDIR /course
COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock
COPY --chown=student . .
RUN pip install --no-cache-dir --no-deps --editable .

USER student
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"]
