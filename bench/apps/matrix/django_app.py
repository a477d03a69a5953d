"""A Django app that gives every request its number back."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import re_path

MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of a bench", MIDDLEWARE=MIDDLEWARE)


def answer(request, number):
    if request.method == "POST":
        number = request.body.decode()
    return JsonResponse({"number": number, "worker": os.environ["NODESOCKD_WORKER_ID"], "suspended": False})


urlpatterns = [re_path("^(.*)$", answer)]
app = get_wsgi_application()
