from django.conf import settings
from django.urls import path
from django.views.static import serve

from pages.views import index

urlpatterns = [
    path('', index),
    # Few files, all with hashed names: a CDN or WhiteNoise would do this for a larger site.
    path('static/<path:path>', serve, {'document_root': settings.STATIC_ROOT}),
]
