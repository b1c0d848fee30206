package com.example;

import static org.junit.Assert.assertEquals;

import org.junit.Test;

public class MainTest {
  @Test
  public void namesTheDyno() {
    assertEquals("Hello from Java " + Runtime.version().feature() + " on web.1\n", Main.greeting("web.1"));
  }
}
