import os

import django
from django.shortcuts import render


def index(request):
    dyno = os.environ.get('DYNO', 'no dyno')
    return render(request, 'index.html', {'version': django.get_version(), 'dyno': dyno})
