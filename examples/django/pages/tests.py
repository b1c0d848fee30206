from django.test import SimpleTestCase, override_settings


@override_settings(STATICFILES_STORAGE='django.contrib.staticfiles.storage.StaticFilesStorage')
class IndexTest(SimpleTestCase):
    def test_says_hello(self):
        self.assertContains(self.client.get('/'), 'Hello from Django')
